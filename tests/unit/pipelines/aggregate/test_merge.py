"""Merge and fold together: what the windows say equals what is counted one by one."""

import copy
import random

import pytest
from classroom import NOON_MS, Pipeline, event, records, some_events, truth
from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate.merge import Held, Merge, Window
from pipelines.aggregate.windows import PANE_MS
from wire import metrics
from wire.events import ActivityEvent, Kind
from wire.metrics import WINDOW_S, Metric
from wire.partials import Partial

SCOPES = ["course:py101", "team:py101/t1", "student:s0"]


def check(pipeline: Pipeline, happened: list[ActivityEvent]) -> int:
    """Every point ever told, in its last version, against the truth. Returns how many were checked."""
    checked = 0
    for (scope, field, start_ms), point in pipeline.points.items():
        if point.end_ms % 60_000:  # what slides in between is only told while it is newest
            continue
        events, students, attempts, failures = truth(happened, scope, start_ms, point.window_s)
        match field:
            case Metric.EVENTS_PER_MINUTE:
                expected = events
            case Metric.ACTIVE_STUDENTS:
                expected = students
            case Metric.ERROR_RATE:
                assert point.n == attempts
                assert point.value == (failures / attempts if attempts else 0)
                continue
            case _:
                continue
        assert point.value == expected, (scope, field, start_ms)
        checked += 1
    minutes = {one.occurred_at_ms // 60_000 * 60_000 for one in happened if one.course_id == "py101"}
    told = {start for scope, field, start in pipeline.points if (scope, field) == (SCOPES[0], "events_per_minute")}
    assert minutes <= told, "every minute that holds an event has been told"
    return checked


@given(seed=st.integers(0, 100_000), partitions=st.sampled_from([1, 3, 8]), batch=st.sampled_from([1, 7, 80]))
def test_every_window_equals_the_truth_over_any_split_into_partitions_and_batches(
    seed: int, partitions: int, batch: int
) -> None:
    rng = random.Random(seed)
    happened = some_events(rng, 80)
    rng.shuffle(happened)  # all within the lateness bound
    pipeline = Pipeline(partitions)
    offsets = [0] * partitions
    for first in range(0, len(happened), batch):
        for one in happened[first : first + batch]:
            home = int(one.student_id[1:]) % partitions
            pipeline.folds[home].fold(records([one], offsets[home]))
            offsets[home] += 1
        pipeline.tell()
    pipeline.tell(wall_ms=10**9)  # long after: every minute's window that holds an event has been told
    assert check(pipeline, happened) > 20
    days = {key: point for key, point in pipeline.points.items() if key[1].startswith("events_by_kind")}
    assert sum(p.value for (scope, _, _), p in days.items() if scope == "course:py101") == len(happened)


def test_live_values_fall_to_zero_as_the_clock_moves_on_in_a_quiet_room() -> None:
    #   events   |x at 5 s
    #   wall     0 s        +70 s          +320 s          +400 s
    #   1 min    1           0              0               told no more
    #   5 min    1 active    1 active       0 active
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 5)]))
    pipeline.tell(wall_ms=0)
    assert pipeline.value("course:py101", Metric.EVENTS_PER_MINUTE, 10, 60) == 1
    pipeline.tell(wall_ms=70_000)
    assert pipeline.value("course:py101", Metric.EVENTS_PER_MINUTE, 80, 60) == 0
    assert pipeline.value("course:py101", Metric.ACTIVE_STUDENTS, 80, 300) == 1
    pipeline.tell(wall_ms=320_000)
    assert pipeline.value("course:py101", Metric.ACTIVE_STUDENTS, 330, 300) == 0
    pipeline.tell(wall_ms=500_000)
    assert pipeline.merge.updates(600_000) == []


def test_the_newest_window_ends_with_the_pane_still_filling_and_a_minute_is_told_when_its_last_pane_is() -> None:
    #   events   |x at 5 s
    #   wall     0 s                        +52 s: event time 57 s
    #   ends     +10 s, not yet the minute  +60 s, the minute
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 5)]))

    def newest_end_s() -> int:
        points = (point for (scope, _, _), point in pipeline.points.items() if scope == "course:py101")
        return max(point.end_ms - NOON_MS for point in points if point.metric is Metric.EVENTS_PER_MINUTE) // 1000

    pipeline.tell(wall_ms=0)
    assert newest_end_s() == 10
    pipeline.tell(wall_ms=52_000)
    assert newest_end_s() == 60
    assert pipeline.value("course:py101", Metric.EVENTS_PER_MINUTE, 60, 60) == 1


def test_a_student_in_many_panes_of_a_window_counts_once() -> None:
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", second) for second in range(0, 300, 7)] + [event("s2", 299)]))
    pipeline.tell()
    assert pipeline.value("course:py101", Metric.ACTIVE_STUDENTS, 300, 300) == 2


def test_help_open_adds_up_over_partitions() -> None:
    pipeline = Pipeline(2)
    pipeline.folds[0].fold(records([event("s0", 1, Kind.HELP_REQUESTED)]))
    pipeline.folds[1].fold(records([event("s1", 2, Kind.HELP_REQUESTED)]))
    pipeline.tell()
    assert pipeline.value("course:py101", Metric.HELP_REQUESTS_OPEN, 60, 60) == 2


def test_an_older_partial_of_a_partition_is_ignored_and_an_equal_one_says_the_same() -> None:
    pipeline = Pipeline()
    fold = pipeline.folds[0]
    fold.fold(records([event("s1", 1)]))
    (old,) = [copy.deepcopy(partial) for partial in fold.partials() if partial.scope == "course:py101"]
    fold.fold(records([event("s1", 2)], first_offset=1))
    for partial in fold.partials():
        pipeline.merge.apply(partial, 0)
    pipeline.merge.apply(old, 0)
    pipeline.tell()
    assert pipeline.value("course:py101", Metric.EVENTS_PER_MINUTE, 10, 60) == 2


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 40))
def test_restored_from_its_changelog_it_goes_on_as_if_it_had_never_stopped(seed: int, cut: int) -> None:
    happened = some_events(random.Random(seed), 40)
    pipeline = Pipeline()
    stored: dict[Window, Held] = {}

    def flush() -> None:
        pipeline.tell()
        for window, held in pipeline.merge.changes(0).items():
            assert held is not None
            stored[window] = held

    pipeline.folds[0].fold(records(happened[:cut]))
    flush()
    pipeline.merge = Merge.restore(0, 3_600_000, stored, 0)
    pipeline.folds[0].fold(records(happened[cut:], first_offset=cut))
    flush()
    pipeline.tell(wall_ms=10**9)
    check(pipeline, happened)


def test_a_minute_under_way_when_it_stopped_is_told_though_time_jumps_over_its_end() -> None:
    #   minutes   |    0    |    1    |    2    |
    #   events     x          ✗            x        ✗ killed and restored
    pipeline = Pipeline()
    happened = [event("s0", 5), event("s0", 130)]
    pipeline.folds[0].fold(records(happened[:1]))
    pipeline.tell()
    stored = {window: held for window, held in pipeline.merge.changes(0).items() if held is not None}
    pipeline.merge = Merge.restore(0, 3_600_000, stored, 0)
    pipeline.folds[0].fold(records(happened[1:], first_offset=1))
    pipeline.tell()
    assert pipeline.value("course:py101", Metric.EVENTS_PER_MINUTE, 60, 60) == 1


def test_what_no_one_can_change_any_more_is_dropped_with_a_tombstone() -> None:
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 0)]))
    pipeline.tell()
    pipeline.merge.changes(0)
    pipeline.folds[0].fold(records([event("s1", 2 * 86_400)], first_offset=1))
    pipeline.tell()
    old = {Window(scope, "pane", NOON_MS // PANE_MS) for scope in ("student:s1", "course:py101")}
    assert not old & pipeline.merge.changes(60_000).keys(), "a partition may lag behind and still speak of them"
    changes = pipeline.merge.changes(3 * 3_600_000)
    assert {window for window, held in changes.items() if held is None and window.kind == "pane"} == old


def test_a_student_whose_partition_lags_behind_by_hours_loses_nothing() -> None:
    #   partition 0   |s0 now
    #   partition 1   |s1 three hours ago, a pane in two events, with a sweep in between
    pipeline = Pipeline(2)
    pipeline.folds[0].fold(records([event("s0", 3 * 3600)]))
    pipeline.tell(wall_ms=100_000)
    pipeline.merge.changes(100_000)
    for offset, at_s in enumerate((1, 2)):
        pipeline.folds[1].fold(records([event("s1", at_s, success=False)], first_offset=offset))
        pipeline.tell(wall_ms=200_000 + offset * 60_000)
        pipeline.merge.changes(200_000 + offset * 60_000)
    pipeline.folds[1].fold(records([event("s1", 65)], first_offset=2))
    pipeline.tell(wall_ms=400_000)
    five_minutes_from = NOON_MS + 120_000 - 300_000
    assert pipeline.points["student:s1", "error_rate", five_minutes_from].n == 2
    assert pipeline.points["student:s1", "active_students", five_minutes_from].n == 3


def test_of_a_scope_that_nobody_speaks_of_nothing_is_left_after_a_day() -> None:
    day = 86_400_000
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 0), event("s2", 0, Kind.HELP_REQUESTED, course_id="c2")]))
    pipeline.tell(wall_ms=0)
    stored = pipeline.merge.changes(0)
    for wall_ms, at_s in ((day // 2, 2 * 86_400), (day + 60_000, 3 * 86_400)):
        pipeline.folds[0].fold(records([event("s3", at_s, course_id="c3")], first_offset=at_s))
        pipeline.tell(wall_ms)
        stored |= pipeline.merge.changes(wall_ms)
    left = {window.scope: window.kind for window, held in stored.items() if held is not None}
    assert left.keys() == {"student:s2", "course:c2", "student:s3", "course:c3"}
    assert (left["student:s2"], left["course:c2"]) == ("now", "now"), "he still waits"
    assert left.keys() == pipeline.merge.scopes
    pipeline.folds[0].fold(records([event("s1", 3 * 86_400)], first_offset=4 * 86_400))
    pipeline.tell(wall_ms=day + 61_000)
    assert pipeline.value("student:s1", Metric.EVENTS_PER_MINUTE, 3 * 86_400 + 10, 60) == 1


@pytest.mark.parametrize("metric", list(Metric))
def test_every_metric_has_a_window_of_whole_panes(metric: Metric) -> None:
    assert WINDOW_S[metric] * 1000 % PANE_MS == 0


def test_told_time_does_not_go_back_when_an_event_comes_after_a_quiet_time() -> None:
    #   events    |x at 5 s                        |y, of 57 s, told at wall 60 s
    #   wall      0 s         55 s (idle: it is 60 s by now)
    #   as of     5 s         60 s                 60 s: else a sink would take the newer value for the older
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 5)]))
    pipeline.tell(wall_ms=0)
    pipeline.tell(wall_ms=55_000)
    before = pipeline.points["course:py101", "events_per_minute", NOON_MS]
    assert before.as_of_ms == NOON_MS + 60_000
    pipeline.folds[0].fold(records([event("s1", 57)], first_offset=1))
    pipeline.tell(wall_ms=55_500)
    after = pipeline.points["course:py101", "events_per_minute", NOON_MS]
    assert (before.value, after.value) == (1, 2)
    assert after.as_of_ms >= before.as_of_ms


@given(seed=st.integers(0, 100_000), steps=st.lists(st.sampled_from([0, 300, 4_000, 9_000, 70_000]), max_size=30))
def test_as_of_never_goes_back_over_quiet_times_and_kills(seed: int, steps: list[int]) -> None:
    rng = random.Random(seed)
    pipeline = Pipeline()
    happened = iter(records(some_events(rng, len(steps) * 2 + 1, span_s=3_000)))
    stored: dict[Window, Held] = {}
    unread: list[Partial] = []  # not acknowledged: read again after a kill
    newest_ms = wall_ms = 0
    for step in steps:
        wall_ms += step
        if rng.random() < 0.6:
            pipeline.folds[0].fold([next(happened)])
        unread += copy.deepcopy(pipeline.folds[0].partials())
        for partial in unread:
            pipeline.merge.apply(partial, wall_ms)
        updates = pipeline.merge.updates(wall_ms)
        if updates:  # as agents.py writes it: the clock, what is told, the windows; killed anywhere in between
            stored |= copy.deepcopy({key: held for key, held in pipeline.merge.clock(wall_ms).items() if held})
        for point in (point for update in updates for point in update.points):
            assert point.as_of_ms >= newest_ms
            newest_ms = point.as_of_ms
        if rng.random() < 0.2:
            wall_ms += rng.choice([0, 60_000])
            pipeline.merge = Merge.restore(0, 3_600_000, stored, wall_ms)
            continue
        unread.clear()
        for window, held in pipeline.merge.changes(wall_ms).items():
            if held is None:
                stored.pop(window, None)
            else:
                stored[window] = copy.deepcopy(held)


def test_an_update_holds_at_most_so_many_points_and_the_newest_come_last() -> None:
    """A week of one event a minute, read in one go."""
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", minute * 60, event_id=f"e{minute}") for minute in range(2_000)]))
    for partial in pipeline.folds[0].partials():
        pipeline.merge.apply(partial, 0)
    updates = [update for update in pipeline.merge.updates(0) if update.scope == "course:py101"]
    assert len(updates) > 5
    assert max(len(metrics.encode(update)) for update in updates) < 300_000
    ends = [point.end_ms for update in updates for point in update.points if point.metric is Metric.EVENTS_PER_MINUTE]
    assert ends == sorted(ends)
    assert len(set(ends)) == len(ends) == 2_000  # every minute but the last, which is not over, and the newest pane
