"""The consumer group `history`, put together: `python -m pipelines.history.app`."""

from collections.abc import Sequence

import structlog

from pipelines.history.influx import InfluxStore
from pipelines.history.postgres import PostgresStore
from pipelines.history.store import HistoryStore, StoreUnavailableError, select
from pipelines.settings import HistorySettings
from pipelines.sink import Sink
from pipelines.worker import Worker, create_app, run
from wire import topics
from wire.metrics import ScopeUpdate

log = structlog.get_logger(__name__)


def create(settings: HistorySettings) -> Worker:
    app = create_app("history", settings)
    worker = Worker(app, settings)
    store = _store(settings)
    log.info("history goes to " + store.name)

    async def write(updates: Sequence[ScopeUpdate]) -> int:
        rows = select(updates)
        await store.write(rows)
        return len(rows)

    sink = Sink(worker, store.name, write, (StoreUnavailableError,))
    app.agent(worker.topic(topics.METRICS), name="history")(sink.run)
    worker.closes(store.close)
    return worker


def _store(settings: HistorySettings) -> HistoryStore:
    if settings.influx_url:
        token = settings.influx_token.get_secret_value()
        return InfluxStore(settings.influx_url, token, settings.influx_org, settings.influx_bucket)
    return PostgresStore(settings.postgres_url.get_secret_value())


if __name__ == "__main__":
    run(create(HistorySettings()))
