"""The consumer group `live`, put together: `python -m pipelines.live.app`."""

from redis.exceptions import RedisError

from pipelines.live.writer import LiveWriter
from pipelines.settings import LiveSettings
from pipelines.sink import Sink
from pipelines.worker import Worker, create_app, run
from wire import topics


def create(settings: LiveSettings) -> Worker:
    app = create_app("live", settings)
    worker = Worker(app, settings)
    writer = LiveWriter(settings.redis_url)
    sink = Sink(worker, "redis", writer.write, (RedisError, OSError, TimeoutError))
    app.agent(worker.topic(topics.METRICS), name="live")(sink.run)
    worker.closes(writer.close)
    return worker


if __name__ == "__main__":
    run(create(LiveSettings()))
