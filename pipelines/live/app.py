"""The consumer group `live`, put together: `python -m pipelines.live.app`."""

from redis.exceptions import RedisError

from pipelines import sink, stock
from pipelines.live.writer import LiveWriter
from pipelines.settings import LiveSettings
from pipelines.sink import Store
from pipelines.worker import AnyWorker, run


def create(settings: LiveSettings) -> AnyWorker:
    writer = LiveWriter(settings.redis_url)
    store = Store("redis", writer.write, writer.close, (RedisError, OSError, TimeoutError))
    return (stock.sink if settings.transport == "stock" else sink.create)("live", settings, store)


if __name__ == "__main__":
    run(create(LiveSettings()))
