"""What a history store is. tests/contracts/test_history_store.py holds every store to it."""

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from wire import probe
from wire.metrics import HISTORY_STEP_MS, Metric, MetricPoint, ScopeUpdate

Row = tuple[str, MetricPoint]  # scope, point


class Served(NamedTuple):
    """What a store holds of a window. None: comes in another one of the same window, or is not known."""

    scope: str
    metric: str
    label: str
    start_ms: int
    value: float | None = None
    n: int | None = None
    as_of_ms: int | None = None


class StoreUnavailableError(Exception):
    """The store did not take it now; the same write may be made again."""


class StoreRefusedError(Exception):
    """The store will never take a part of what one request held: older than its retention, or a bug of ours."""


class HistoryStore(Protocol):
    name: str

    async def write(self, rows: Sequence[Row]) -> None:
        """Idempotent by scope, metric, label and window start. `rows` names no window twice, and the rows of one window
        are written in the order they were told. Raises StoreUnavailableError or StoreRefusedError, with any part of it
        written."""

    def read(
        self, metrics: Collection[Metric], from_ms: int, to_ms: int, scopes: Collection[str] = ()
    ) -> AsyncGenerator[Sequence[Served], None]:
        """The windows of these metrics that lie within, of these scopes or of all; part by part, in no order. To be
        closed. Raises StoreUnavailableError."""

    async def close(self) -> None: ...


def is_kept(point: MetricPoint) -> bool:
    """In history are the windows that end on a whole minute. A rate of nothing is told live, where it must be seen to
    end; here it would look like no errors."""
    return point.end_ms % HISTORY_STEP_MS == 0 and bool(point.n or point.metric is not Metric.ERROR_RATE)


def select(updates: Iterable[ScopeUpdate]) -> list[Row]:
    """What history keeps of the updates: of each window the newest value; of probes nothing."""
    newest: dict[tuple[str, str, int], Row] = {}
    for update in updates:
        if probe.is_scope(update.scope):
            continue
        for point in update.points:
            if is_kept(point):
                newest[update.scope, point.field, point.start_ms] = (update.scope, point)
    return list(newest.values())
