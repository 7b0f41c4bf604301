"""Pane arithmetic: a window is a run of panes, numbered by epoch seconds // PANE_S. Pure."""

from collections.abc import Iterable
from typing import Protocol

from wire.partials import DISTINCT_PANES, PANE_S, PaneCounts

PANE_MS = PANE_S * 1000
MINUTE_PANES = 60 // PANE_S
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
HOUR_PANES = HOUR_MS // PANE_MS
DAY_PANES = DAY_MS // PANE_MS
LONGEST_WINDOW_MS = DISTINCT_PANES * PANE_MS  # of those that slide


def pane_of(time_ms: int) -> int:
    return time_ms // PANE_MS


def end_ms(pane: int) -> int:
    """The first millisecond behind the pane."""
    return (pane + 1) * PANE_MS


def minute_end(pane: int) -> int:
    """The last pane of the calendar minute that holds `pane`."""
    return pane // MINUTE_PANES * MINUTE_PANES + MINUTE_PANES - 1


def gap(pane: int, previous: int | None) -> int:
    """How many panes back a student was active before, as `PaneCounts.gaps` counts it."""
    return DISTINCT_PANES if previous is None else min(pane - previous, DISTINCT_PANES)


def neighbours(panes: Iterable[int], pane: int) -> tuple[int | None, int | None]:
    """The nearest active panes before and behind `pane`, which is not one of them."""
    before = behind = None
    for other in panes:
        if other < pane:
            before = other if before is None or other > before else before
        elif behind is None or other < behind:
            behind = other
    return before, behind


class Panes(Protocol):
    def get(self, number: int, /) -> PaneCounts | None: ...


def total(panes: Panes, last: int, width: int) -> tuple[PaneCounts, int]:
    """Sums and distinct students of the window of `width` panes (at most DISTINCT_PANES) that ends with pane `last`.

    A student active in several panes of the window is counted at the first of them: the one whose gap to his pane
    before reaches out of the window.
    """
    counts = PaneCounts()
    distinct = 0
    first = last - width + 1
    for pane in range(first, last + 1):
        if (here := panes.get(pane)) is None:
            continue
        counts.events += here.events
        counts.attempts += here.attempts
        counts.failures += here.failures
        inside = pane - first
        for gap_, students in here.gaps.items():
            if gap_ > inside:
                distinct += students
    return counts, distinct
