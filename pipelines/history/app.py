"""The consumer group `history`, put together: `python -m pipelines.history.app`."""

from collections.abc import Sequence

import structlog

from pipelines import sink
from pipelines.history.choice import choose
from pipelines.history.store import StoreRefusedError, StoreUnavailableError, select
from pipelines.settings import HistorySettings
from pipelines.sink import Store
from pipelines.worker import AnyWorker, run
from wire.metrics import ScopeUpdate

log = structlog.get_logger(__name__)

# A minute is told ten times a second while it lasts, and the newest is what is kept: who waits a little writes little.
GATHER_S = 1.0
GATHER_BYTES = 1_000_000


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
    if settings.transport == "stock":
        from pipelines import stock  # its imports are a tenth of each start, for what hardly anybody chooses

        return stock.sink("history", settings, store)
    return sink.create("history", settings, store, fetch_max_wait_s=GATHER_S, fetch_min_bytes=GATHER_BYTES)


if __name__ == "__main__":
    run(create(HistorySettings()))
