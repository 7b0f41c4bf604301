"""What a history store is. tests/contracts/test_history_store.py holds every store to it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from pipelines import telemetry
from wire.metrics import HISTORY_STEP_MS, MetricPoint, ScopeUpdate

log = structlog.get_logger(__name__)

Row = tuple[str, MetricPoint]  # scope, point


class StoreUnavailableError(Exception):
    """The store did not take it now; the same write may be made again."""


class StoreRefusedError(Exception):
    """The store will never take a part of what one request held: older than its retention, or a bug of ours."""


class HistoryStore(Protocol):
    name: str

    async def write(self, rows: Sequence[Row]) -> None:
        """Idempotent by scope, metric, label and window start. `rows` names no window twice, and the rows of one window
        are written in the order they were told. A row the store will never take is counted, logged and left out; the
        others are written. Raises StoreUnavailableError, with any part of it written."""

    async def close(self) -> None: ...


async def write_halving(store: str, rows: Sequence[Row], request: Callable[[Sequence[Row]], Awaitable[None]]) -> None:
    """Writes with `request`, which raises StoreRefusedError; refused, it is halved until the refused rows are alone."""
    try:
        await request(rows)
    except StoreRefusedError as error:
        if len(rows) == 1:
            telemetry.POINTS_REFUSED.labels(store).inc()
            log.error("the store refuses a point", store=store, scope=rows[0][0], point=rows[0][1], error=str(error))
            return
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            await write_halving(store, half, request)


def select(updates: Iterable[ScopeUpdate]) -> list[Row]:
    """What history keeps of the updates: of each window that ends on a whole minute, the newest value."""
    newest: dict[tuple[str, str, int], Row] = {}
    for update in updates:
        for point in update.points:
            if point.end_ms % HISTORY_STEP_MS == 0:
                newest[update.scope, point.field, point.start_ms] = (update.scope, point)
    return list(newest.values())
