"""The consumer group `live`, put together: `python -m pipelines.live.app`."""

from redis.exceptions import DataError, RedisError, ResponseError

from pipelines import sink
from pipelines.live.writer import LiveWriter
from pipelines.settings import LiveSettings
from pipelines.sink import Store
from pipelines.worker import AnyWorker, run


def create(settings: LiveSettings) -> AnyWorker:
    writer = LiveWriter(settings.redis_url)
    store = Store("redis", writer.write, writer.close, (RedisError, OSError, TimeoutError), refuses)
    if settings.transport == "stock":
        from pipelines import stock  # its imports are a tenth of each start, for what hardly anybody chooses

        return stock.sink("live", settings, store)
    return sink.create("live", settings, store, writer.carry)


def refuses(error: Exception) -> bool:
    """An update of its own, and not everything: a key of it holds something else, or it cannot be sent at all. What
    else Redis says of a command (out of memory, read-only, busy) it would say of any."""
    return isinstance(error, DataError) or (isinstance(error, ResponseError) and "WRONGTYPE" in str(error))


if __name__ == "__main__":
    run(create(LiveSettings()))
