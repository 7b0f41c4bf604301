"""What fold makes of each offset, collected for the audit until it is told. Pure."""

from collections.abc import Iterable

from pipelines.aggregate.fold import Batch
from pipelines.aggregate.marker import Marker
from wire import audit
from wire.audit import Judged, Runs, Totals

RUNS_MAX = 10_000  # of one record: some 250 KB


class Judging:
    """Of one partition."""

    def __init__(self, marker: Marker) -> None:
        self._marker = marker
        if marker.base < 0 <= marker.offset:  # its counters are older than the audit: they are taken as they are
            marker.base = marker.offset + 1 - _totals(marker).all
        self._first = marker.offset + 1
        self._at_ms = 0
        self._full: list[Judged] = []
        self._begin()

    def begins(self, first_offset: int) -> None:
        """Called before a batch is taken."""
        if self._marker.base < 0:
            self._marker.base = self._first = first_offset

    def took(self, batch: Batch, at_ms: int) -> None:
        """`at_ms`: the timestamp of its last record."""
        _add(self._duplicate, batch.again)
        _add(self._late, (record.offset for record in batch.late))
        _add(self._dead, (rejected.record.offset for rejected in batch.dead))
        self._at_ms = max(self._at_ms, at_ms)
        if len(self._duplicate) + len(self._late) + len(self._dead) >= RUNS_MAX:
            self._close(0)

    def told(self, adrift: int) -> list[Judged]:
        """What was judged since the last call."""
        if self._marker.offset >= self._first:
            self._close(adrift)
        full, self._full = self._full, []
        return full

    def _close(self, adrift: int) -> None:
        marker = self._marker
        self._full.append(
            Judged(
                partition=marker.partition,
                first=self._first,
                last=marker.offset,
                at_ms=self._at_ms,
                base=marker.base,
                totals=_totals(marker),
                duplicate=self._duplicate,
                late=self._late,
                dead=self._dead,
                adrift=adrift,
            )
        )
        self._first = marker.offset + 1
        self._begin()

    def _begin(self) -> None:
        self._duplicate: Runs = []
        self._late: Runs = []
        self._dead: Runs = []


def _add(runs: Runs, offsets: Iterable[int]) -> None:
    for offset in offsets:
        audit.add(runs, offset)


def _totals(marker: Marker) -> Totals:
    return Totals(marker.folded, marker.duplicate, marker.late, marker.dead)
