"""Each formula against the same number found by other means: single students and events, fractions, sorting."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate import points
from pipelines.aggregate.clock import Clock
from pipelines.aggregate.points import Reading
from wire.events import Kind
from wire.metrics import WINDOW_S, Metric, State
from wire.partials import DELAY_BOUNDS_MS, DELAY_BUCKETS, SCORE_BINS, DayCounts, HourCounts, NowCounts, PaneCounts
from wire.scopes import ScopeKind

Said = dict[tuple[Metric, str], tuple[float, int]]


def by_name(readings: Iterable[Reading]) -> Said:
    return {(metric, label): (value, n) for metric, label, value, n in readings}


def day(counts: DayCounts, kind: ScopeKind = ScopeKind.COURSE) -> Said:
    return by_name(points.day(counts, kind))


def nearest_rank(values: list[int], share: Fraction) -> int:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def test_a_minute_and_five() -> None:
    counts = PaneCounts(events=7, attempts=4, failures=1)
    assert by_name(points.minute(counts)) == {(Metric.EVENTS_PER_MINUTE, ""): (7, 7)}
    assert by_name(points.five_minutes(counts, 3)) == {
        (Metric.ACTIVE_STUDENTS, ""): (3, 7),
        (Metric.ERROR_RATE, ""): (0.25, 4),
    }


def test_without_attempts_only_the_sliding_error_rate_is_told_with_n_0() -> None:
    assert Metric.ERROR_RATE not in {metric for metric, *_ in points.five_minutes(PaneCounts(events=1), 1)}
    assert by_name(points.sliding(PaneCounts(), PaneCounts(), 0)) == {
        (Metric.EVENTS_PER_MINUTE, ""): (0, 0),
        (Metric.ACTIVE_STUDENTS, ""): (0, 0),
        (Metric.ERROR_RATE, ""): (0, 0),
    }


@given(
    seen=st.lists(st.integers(800, 1000), max_size=30),
    failed=st.lists(st.integers(800, 1000), max_size=30),
    asked_ms=st.lists(st.integers(9_000_000, 10_010_000), max_size=5),
)
def test_how_students_stand(seen: list[int], failed: list[int], asked_ms: list[int]) -> None:
    head, now_ms = 1_000, 10_005_000
    said = by_name(points.now(NowCounts(Counter(seen), Counter(asked_ms), Counter(failed)), now_ms, head))
    present = [pane for pane in seen if head - pane < 180]
    idle = [pane for pane in present if head - pane >= 18]
    struggling = [pane for pane in failed if head - pane < 60]
    longest_s = max((max(now_ms - one, 0) / 1000 for one in asked_ms), default=0)
    assert said == {
        (Metric.PRESENT_STUDENTS, ""): (len(present), len(present)),
        (Metric.IDLE_STUDENTS, ""): (len(idle), len(idle)),
        (Metric.STRUGGLING_STUDENTS, ""): (len(struggling), len(struggling)),
        (Metric.HELP_REQUESTS_OPEN, ""): (len(asked_ms), len(asked_ms)),
        (Metric.LONGEST_WAIT_S, ""): (longest_s, len(asked_ms)),
    }


@given(buckets=st.lists(st.integers(0, DELAY_BUCKETS - 1), max_size=60))
def test_an_hour(buckets: list[int]) -> None:
    counted = Counter(buckets)
    delays = [counted[number] for number in range(DELAY_BUCKETS)] if buckets else []
    said = by_name(points.hour(HourCounts(len(buckets), 4, 3, 5, delays)))
    assert said[Metric.EVENTS_PER_HOUR, ""] == (len(buckets), len(buckets))
    assert said[Metric.ACTIVE_STUDENTS_HOUR, ""] == (5, len(buckets))
    assert said[Metric.ERROR_RATE_HOUR, ""] == (0.75, 4)
    if buckets:
        bucket = nearest_rank(buckets, Fraction(95, 100))
        bounds_s = [bound / 1000 for bound in DELAY_BOUNDS_MS] + [DELAY_BOUNDS_MS[-1] * 2 / 1000]
        assert said[Metric.INGEST_DELAY_P95, ""] == (bounds_s[bucket], len(buckets))
    else:
        assert (Metric.INGEST_DELAY_P95, "") not in said


def test_of_100_events_5_may_come_later_than_the_95th_percentile_says() -> None:
    delays = [0] * DELAY_BUCKETS
    delays[2], delays[7] = 95, 5
    assert by_name(points.hour(HourCounts(100, delays=delays)))[Metric.INGEST_DELAY_P95, ""] == (1.0, 100)
    delays[2], delays[7] = 94, 6
    assert by_name(points.hour(HourCounts(100, delays=delays)))[Metric.INGEST_DELAY_P95, ""] == (32.0, 100)


@given(completed=st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_quartiles_of_progress(completed: list[int]) -> None:
    said = day(DayCounts(progress=dict(Counter(completed))))
    for label, share in (("q1", Fraction(1, 4)), ("median", Fraction(1, 2)), ("q3", Fraction(3, 4))):
        assert said[Metric.TASK_PROGRESS, label] == (nearest_rank(completed, share), len(completed))
    assert said[Metric.TASK_PROGRESS, "median"][0] == statistics.median_low(completed)


@given(thousandths=st.lists(st.integers(0, 1_000), min_size=1, max_size=60))
def test_scores(thousandths: list[int]) -> None:
    bins = Counter(min(one // 100, 9) for one in thousandths)
    said = day(
        DayCounts(
            scored=len(thousandths),
            score_sum=sum(thousandths),
            score_bins=[bins[number] for number in range(SCORE_BINS)],
            best_sum=sum(thousandths),
            tasks_scored=len(thousandths),
        ),
        ScopeKind.TEAM,
    )
    mean = float(statistics.mean(Fraction(one, 1_000) for one in thousandths))
    assert said[Metric.SCORE_MEAN, ""] == (mean, len(thousandths))
    assert said[Metric.TEAM_SCORE, ""] == (mean, len(thousandths))
    histogram = {label: of for (metric, label), of in said.items() if metric is Metric.SCORE_HISTOGRAM}
    assert histogram == {f"0.{number}": (count, count) for number, count in bins.items()}


def gini(values: list[int]) -> Fraction:
    """By its definition."""
    differences = sum(abs(one - other) for one in values for other in values)
    return Fraction(differences, 2 * len(values) * sum(values))


@given(events=st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(any))
def test_participation_balance(events: list[int]) -> None:
    number = len(events)
    said = day(DayCounts(members=dict(Counter(events))), ScopeKind.TEAM)
    expected = float(1 - gini(events) * number / (number - 1))
    assert said[Metric.PARTICIPATION_BALANCE, ""] == (expected, number)


@pytest.mark.parametrize(
    ("events", "balance"),
    [([5, 5, 5], 1.0), ([9, 0, 0], 0.0), ([4, 0], 0.0), ([3, 1], 0.5), ([5], None), ([0, 0], None), ([], None)],
)
def test_balance_is_1_where_all_do_the_same_and_0_where_one_does_all(events: list[int], balance: float | None) -> None:
    assert points.balance(Counter(events)) == balance


FULL_DAY = DayCounts(
    kinds={"page_viewed": 3, "code_run": 2},
    attempts=4,
    failures=1,
    students=2,
    scored=2,
    score_sum=1_500,
    score_bins=[0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
    progress={1: 1, 3: 1},
    task_attempts=6,
    tasks_tried=4,
    best_sum=1_500,
    tasks_scored=2,
    time_on_task_ms=90_500,
    members={2: 1, 3: 1},
    sessions=1,
    active_ms=61_000,
)
OF_ALL: Said = {
    (Metric.EVENTS_BY_KIND, "code_run"): (2, 2),
    (Metric.EVENTS_BY_KIND, "page_viewed"): (3, 3),
    (Metric.EVENTS_PER_DAY, ""): (5, 5),
    (Metric.ACTIVE_STUDENTS_DAY, ""): (2, 5),
    (Metric.ERROR_RATE_DAY, ""): (0.25, 4),
    (Metric.SCORE_MEAN, ""): (0.75, 2),
    (Metric.TASK_PROGRESS, "median"): (1, 2),
    (Metric.ATTEMPTS_PER_TASK, ""): (1.5, 4),
    (Metric.TIME_ON_TASK_S, ""): (90.5, 4),
}
OF_MANY: Said = OF_ALL | {
    (Metric.TASK_PROGRESS, "q1"): (1, 2),
    (Metric.TASK_PROGRESS, "q3"): (3, 2),
    (Metric.SCORE_HISTOGRAM, "0.5"): (1, 1),
    (Metric.SCORE_HISTOGRAM, "0.9"): (1, 1),
}
OF_TEAMS: Said = {(Metric.TEAM_SCORE, ""): (0.75, 2), (Metric.PARTICIPATION_BALANCE, ""): (0.8, 2)}
OF_STUDENTS: Said = {(Metric.SESSIONS, ""): (1, 1), (Metric.ACTIVE_S, ""): (61, 1)}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ScopeKind.SCHOOL, OF_MANY),
        (ScopeKind.COURSE, OF_MANY),
        (ScopeKind.TEAM, OF_MANY | OF_TEAMS),
        (ScopeKind.STUDENT, OF_ALL | OF_STUDENTS),
    ],
)
def test_a_day_says_of_each_kind_of_scope_what_it_has(kind: ScopeKind, expected: Said) -> None:
    assert day(FULL_DAY, kind) == expected


def test_where_a_denominator_is_0_nothing_is_told() -> None:
    for kind in ScopeKind:
        assert set(day(DayCounts(kinds={"page_viewed": 1}, students=1), kind)) == {
            (Metric.EVENTS_BY_KIND, "page_viewed"),
            (Metric.EVENTS_PER_DAY, ""),
            (Metric.ACTIVE_STUDENTS_DAY, ""),
        } | ({(Metric.SESSIONS, ""), (Metric.ACTIVE_S, "")} if kind is ScopeKind.STUDENT else set())


def test_time_without_an_attempt_at_a_task_stands_on_the_events() -> None:
    said = day(DayCounts(kinds={"task_started": 2}, time_on_task_ms=1_000))
    assert said[Metric.TIME_ON_TASK_S, ""] == (1, 2)


def test_a_point_says_its_window_by_its_end() -> None:
    clock = Clock(now_ms=1_000, watermark_ms=900, closed_ms=0)
    for metric in Metric:
        one = points.point((metric, "", 2, 3), 86_400_000, clock, State.FINAL)
        assert (one.end_ms, one.window_s, one.value, one.n) == (86_400_000, WINDOW_S[metric], 2.0, 3)
        assert (one.as_of_ms, one.watermark_ms, one.state) == (1_000, 900, State.FINAL)


def test_labels_and_metrics_share_no_name() -> None:
    """A Teller knows a point of a window by its label, or where it has none by its metric."""
    labels = [kind.value for kind in Kind] + [f"0.{number}" for number in range(10)] + ["q1", "median", "q3"]
    names = labels + [metric.value for metric in Metric]
    assert len(set(names)) == len(names)
