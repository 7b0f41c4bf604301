"""What a history store is. tests/contracts/test_history_store.py holds every store to it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from wire.metrics import HISTORY_STEP_MS, MetricPoint, ScopeUpdate

Row = tuple[str, MetricPoint]  # scope, point


class StoreUnavailableError(Exception):
    """The store did not take it now; the same write may be made again."""


class StoreRefusedError(Exception):
    """The store will never take it: a bug of ours, or a store set up otherwise than we need it."""


class HistoryStore(Protocol):
    name: str

    async def write(self, rows: Sequence[Row]) -> None:
        """Idempotent by scope, metric, label and window start. `rows` names no window twice. Raises
        StoreUnavailableError (any part of it written) or StoreRefusedError."""

    async def close(self) -> None: ...


def select(updates: Iterable[ScopeUpdate]) -> list[Row]:
    """What history keeps of the updates: of each window that ends on a whole minute, the newest value."""
    newest: dict[tuple[str, str, int], Row] = {}
    for update in updates:
        for point in update.points:
            if point.end_ms % HISTORY_STEP_MS == 0:
                newest[update.scope, point.field, point.start_ms] = (update.scope, point)
    return list(newest.values())
