"""The formulas: what counts say, metric by metric. docs/semantics.md has them in words. Pure.

Where a denominator is 0 there is no reading, except for the sliding ones, which must be told to have fallen to nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from pipelines.aggregate.clock import Clock
from pipelines.aggregate.windows import DAY_MS
from wire.metrics import WINDOW_S, Metric, MetricPoint, State
from wire.partials import (
    DELAY_BOUNDS_MS,
    PANE_S,
    SCORE_BINS,
    SCORE_UNITS,
    DayCounts,
    HourCounts,
    NowCounts,
)
from wire.scopes import ScopeKind

PRESENT_PANES = 30 * 60 // PANE_S  # seen so lately
IDLE_PANES = 3 * 60 // PANE_S  # of those, nothing since
STRUGGLING_PANES = 10 * 60 // PANE_S  # failed so lately

HELP_OPEN_MS = DAY_MS  # nobody comes any more

DELAY_PERCENTILE = 95
# Of the last bucket only the lower end is known; the ones before it double.
_DELAYS_S = [bound / 1000 for bound in (*DELAY_BOUNDS_MS, 2 * DELAY_BOUNDS_MS[-1])]
_BIN_LABELS = [f"{number / SCORE_BINS:.1f}" for number in range(SCORE_BINS)]

Reading = tuple[Metric, str, float, int]  # metric, label, value, n


class Counted(Protocol):
    """Sums of a window."""

    events: int
    attempts: int
    failures: int


def point(reading: Reading, end_ms: int, clock: Clock, state: State) -> MetricPoint:
    """Of the window that ends at `end_ms`."""
    metric, label, value, n = reading
    window_s = WINDOW_S[metric]
    return MetricPoint(
        metric=metric,
        label=label,
        window_s=window_s,
        start_ms=end_ms - window_s * 1000,
        value=float(value),
        n=n,
        as_of_ms=clock.now_ms,
        watermark_ms=clock.watermark_ms,
        state=state,
    )


def minute(counts: Counted) -> list[Reading]:
    return [(Metric.EVENTS_PER_MINUTE, "", counts.events, counts.events)]


def five_minutes(counts: Counted, students: int) -> list[Reading]:
    readings: list[Reading] = [(Metric.ACTIVE_STUDENTS, "", students, counts.events)]
    if counts.attempts:
        readings.append((Metric.ERROR_RATE, "", counts.failures / counts.attempts, counts.attempts))
    return readings


def sliding(counts: Counted, five: Counted, students: int) -> list[Reading]:
    """Of the newest minute and the newest five."""
    rate = five.failures / five.attempts if five.attempts else 0.0
    return [
        (Metric.EVENTS_PER_MINUTE, "", counts.events, counts.events),
        (Metric.ACTIVE_STUDENTS, "", students, five.events),
        (Metric.ERROR_RATE, "", rate, five.attempts),
    ]


def now(counts: NowCounts, now_ms: int, head: int) -> list[Reading]:
    present = idle = 0
    first_present, last_idle = head - PRESENT_PANES + 1, head - IDLE_PANES
    for pane, students in counts.seen.items():
        if pane >= first_present:
            present += students
            if pane <= last_idle:
                idle += students
    first_failure = head - STRUGGLING_PANES + 1
    struggling = sum(students for pane, students in counts.struggling.items() if pane >= first_failure)
    asked = [(at_ms, students) for at_ms, students in counts.waiting.items() if at_ms > now_ms - HELP_OPEN_MS]
    waiting = sum(students for _, students in asked)
    longest_s = max(now_ms - min(asked)[0], 0) / 1000 if asked else 0.0
    return [
        (Metric.PRESENT_STUDENTS, "", present, present),
        (Metric.IDLE_STUDENTS, "", idle, idle),
        (Metric.STRUGGLING_STUDENTS, "", struggling, struggling),
        (Metric.HELP_REQUESTS_OPEN, "", waiting, waiting),
        (Metric.LONGEST_WAIT_S, "", longest_s, waiting),
    ]


def hour(counts: HourCounts) -> list[Reading]:
    readings: list[Reading] = [
        (Metric.EVENTS_PER_HOUR, "", counts.events, counts.events),
        (Metric.ACTIVE_STUDENTS_HOUR, "", counts.students, counts.events),
    ]
    if counts.attempts:
        readings.append((Metric.ERROR_RATE_HOUR, "", counts.failures / counts.attempts, counts.attempts))
    if events := sum(counts.delays):
        bucket = nearest_rank(enumerate(counts.delays), rank(events, DELAY_PERCENTILE, 100))
        readings.append((Metric.INGEST_DELAY_P95, "", _DELAYS_S[bucket], events))
    return readings


def day(counts: DayCounts, kind: ScopeKind) -> list[Reading]:
    events = sum(counts.kinds.values())
    readings: list[Reading] = [
        (Metric.EVENTS_BY_KIND, label, number, number) for label, number in sorted(counts.kinds.items())
    ]
    readings.append((Metric.EVENTS_PER_DAY, "", events, events))
    readings.append((Metric.ACTIVE_STUDENTS_DAY, "", counts.students, events))
    if counts.attempts:
        readings.append((Metric.ERROR_RATE_DAY, "", counts.failures / counts.attempts, counts.attempts))
    if counts.scored:
        # One division: the nearest float to the true mean.
        mean = counts.score_sum / (SCORE_UNITS * counts.scored)
        readings.append((Metric.SCORE_MEAN, "", mean, counts.scored))
    if counts.tasks_tried:
        attempts = counts.task_attempts / counts.tasks_tried
        readings.append((Metric.ATTEMPTS_PER_TASK, "", attempts, counts.tasks_tried))
    if counts.tasks_tried or counts.time_on_task_ms:
        time_s = counts.time_on_task_ms / 1000
        readings.append((Metric.TIME_ON_TASK_S, "", time_s, counts.tasks_tried or events))
    if kind is ScopeKind.STUDENT:
        readings.append((Metric.SESSIONS, "", counts.sessions, counts.sessions))
        readings.append((Metric.ACTIVE_S, "", counts.active_ms / 1000, counts.sessions))
    else:
        readings += _histogram(counts)
    readings += _progress(counts.progress, kind)
    if kind is ScopeKind.TEAM:
        readings += _team(counts)
    return readings


def _histogram(counts: DayCounts) -> Iterator[Reading]:
    if counts.scored:
        for label, number in zip(_BIN_LABELS, counts.score_bins, strict=False):
            if number:
                yield Metric.SCORE_HISTOGRAM, label, number, number


def _progress(progress: Mapping[int, int], kind: ScopeKind) -> Iterator[Reading]:
    students = sum(progress.values())
    if not students:
        return
    ordered = sorted(progress.items())
    if kind is not ScopeKind.STUDENT:
        yield Metric.TASK_PROGRESS, "q1", nearest_rank(ordered, rank(students, 1, 4)), students
    yield Metric.TASK_PROGRESS, "median", nearest_rank(ordered, rank(students, 1, 2)), students
    if kind is not ScopeKind.STUDENT:
        yield Metric.TASK_PROGRESS, "q3", nearest_rank(ordered, rank(students, 3, 4)), students


def _team(counts: DayCounts) -> Iterator[Reading]:
    if counts.tasks_scored:
        score = counts.best_sum / (SCORE_UNITS * counts.tasks_scored)
        yield Metric.TEAM_SCORE, "", score, counts.tasks_scored
    if (share := balance(counts.members)) is not None:
        yield Metric.PARTICIPATION_BALANCE, "", share, sum(counts.members.values())


def balance(members: Mapping[int, int]) -> float | None:
    """1 - G · n / (n - 1), with G the Gini coefficient of the members' events: the sum of |x - y| over all pairs of
    members, divided by n times the sum of x. The factor makes 0 of "one does all" in a team of any size.

    `members`: events → members with so many. None where it says nothing: one member, or no events.
    """
    ordered = sorted(members.items())
    number = sum(members.values())
    total = sum(events * students for events, students in ordered)
    if number < 2 or not total:
        return None
    differences = below = below_sum = 0  # members with fewer events, and theirs
    for events, students in ordered:
        differences += students * (events * below - below_sum)
        below += students
        below_sum += students * events
    whole = (number - 1) * total
    return (whole - differences) / whole


def rank(number: int, numerator: int, denominator: int) -> int:
    """The nearest rank of a quantile among so many, from 1: number · numerator / denominator, rounded up."""
    return -(-number * numerator // denominator)


def nearest_rank(ordered: Iterable[tuple[int, int]], wanted: int) -> int:
    """The value at this rank, of (value, how many have it) in ascending order."""
    for value, number in ordered:
        wanted -= number
        if wanted <= 0:
            return value
    raise ValueError("there are fewer values than the rank wanted")
