"""The consumer group `history`, put together: `python -m pipelines.history.app`."""

from collections.abc import Sequence

import structlog

from pipelines import sink, stock
from pipelines.history.influx import InfluxStore
from pipelines.history.postgres import PostgresStore
from pipelines.history.store import HistoryStore, StoreUnavailableError, select
from pipelines.settings import HistorySettings
from pipelines.sink import Store
from pipelines.worker import AnyWorker, run
from wire.metrics import ScopeUpdate

log = structlog.get_logger(__name__)


def create(settings: HistorySettings) -> AnyWorker:
    kept = _store(settings)
    log.info("history goes to " + kept.name)

    async def write(updates: Sequence[ScopeUpdate]) -> int:
        rows = select(updates)
        await kept.write(rows)
        return len(rows)

    store = Store(kept.name, write, kept.close, (StoreUnavailableError,))
    return (stock.sink if settings.transport == "stock" else sink.create)("history", settings, store)


def _store(settings: HistorySettings) -> HistoryStore:
    if settings.influx_url:
        token = settings.influx_token.get_secret_value()
        return InfluxStore(settings.influx_url, token, settings.influx_org, settings.influx_bucket)
    return PostgresStore(settings.postgres_url.get_secret_value())


if __name__ == "__main__":
    run(create(HistorySettings()))
