"""Pane arithmetic: a window is a run of panes, numbered by epoch seconds // PANE_S. Pure."""

from collections.abc import Iterable, Mapping

from wire.partials import DISTINCT_PANES, PANE_S, PaneCounts

PANE_MS = PANE_S * 1000
MINUTE_PANES = 60 // PANE_S
DAY_MS = 86_400_000


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


def add(total: PaneCounts, counts: PaneCounts) -> None:
    """Adds in place. Commutative and associative: any order of students and partitions gives the same sum."""
    total.events += counts.events
    total.attempts += counts.attempts
    total.failures += counts.failures
    for gap_, students in counts.gaps.items():
        shift_gap(total.gaps, gap_, students)


def shift_gap(gaps: dict[int, int], gap_: int, students: int) -> None:
    """Adds `students` (may be negative) at one gap; zeros are not kept, so equal sums are equal."""
    if left := gaps.get(gap_, 0) + students:
        gaps[gap_] = left
    else:
        gaps.pop(gap_, None)


def total(panes: Mapping[int, PaneCounts], last: int, width: int) -> tuple[PaneCounts, int]:
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
        distinct += sum(students for gap_, students in here.gaps.items() if pane - gap_ < first)
    return counts, distinct
