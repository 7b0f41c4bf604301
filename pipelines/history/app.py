"""The consumer group `history`, put together: `python -m pipelines.history.app`."""

from collections.abc import Sequence

import structlog

from pipelines import sink, stock
from pipelines.history.choice import choose
from pipelines.history.store import StoreRefusedError, StoreUnavailableError, select
from pipelines.settings import HistorySettings
from pipelines.sink import Store
from pipelines.worker import AnyWorker, run
from wire.metrics import ScopeUpdate

log = structlog.get_logger(__name__)


def create(settings: HistorySettings) -> AnyWorker:
    kept = choose(settings)
    log.info("history goes to " + kept.name)

    async def write(updates: Sequence[ScopeUpdate]) -> int:
        rows = select(updates)
        await kept.write(rows)
        return len(rows)

    def refuses(error: Exception) -> bool:
        return isinstance(error, StoreRefusedError)

    store = Store(kept.name, write, kept.close, (StoreUnavailableError,), refuses)
    return (stock.sink if settings.transport == "stock" else sink.create)("history", settings, store)


if __name__ == "__main__":
    run(create(HistorySettings()))
