"""How students stand, and what their days hold, where it is easily got wrong."""

from classroom import BOUNDS, NOON_MS, event, new_fold, records

from pipelines.aggregate.fold import Fold
from pipelines.aggregate.marker import Marker
from pipelines.aggregate.student_values import StudentValues
from pipelines.aggregate.sums import WINDOWS_MAX
from wire.events import ActivityEvent, Kind
from wire.metrics import Metric, MetricPoint
from wire.partials import DayCounts, NowCounts


def standing(happened: list[ActivityEvent], scope: str = "course:py101") -> NowCounts:
    fold = new_fold()
    fold.fold(records(happened))
    (now,) = [partial.now for partial in fold.partials() if partial.scope == scope and partial.now]
    return now


def day(happened: list[ActivityEvent], scope: str = "course:py101") -> DayCounts:
    fold = new_fold()
    fold.fold(records(happened))
    (counts,) = [of for partial in fold.partials() if partial.scope == scope for of in partial.days.values()]
    return counts


def test_who_is_helped_or_leaves_under_another_team_waits_no_longer_in_their_course() -> None:
    asked = event("s1", 0, Kind.HELP_REQUESTED, team_id="t1")
    assert standing([asked]).waiting == {NOON_MS: 1}
    assert standing([asked, event("s1", 60, Kind.HELP_RESOLVED, team_id="t2")]).waiting == {}
    left = standing([asked, event("s1", 60, Kind.SESSION_ENDED, team_id="t2")])
    assert (left.waiting, left.seen) == ({}, {})


def test_who_fails_fast_and_for_long_struggles_until_he_succeeds() -> None:
    failures = [event("s1", 6 * number, success=False, task_id="a") for number in range(100)]
    assert list(standing(failures).struggling.values()) == [1]
    assert standing(failures[:10]).struggling == {}, "not yet two minutes"
    assert standing([*failures, event("s1", 601, success=True, task_id="a")]).struggling == {}
    assert standing(failures[::50]).struggling == {}, "two are no series"


def test_time_on_a_task_leaves_out_breaks_however_many_runs_there_are() -> None:
    happened = [event("s1", 0, task_id="a")] + [
        event("s1", 3 * 3600 + 360 * number, task_id="a") for number in range(60)
    ]
    assert day(happened).time_on_task_ms == 59 * 5 * 60_000, "a gap counts up to 5 min, the break of 3 h not at all"


def test_a_failed_end_of_a_task_is_no_progress() -> None:
    failed, done = (
        event("s1", at_s, Kind.TASK_COMPLETED, task_id="a", success=success)
        for at_s, success in ((0, False), (1, None))
    )
    assert day([failed]).progress == {0: 1}
    assert day([failed, done]).progress == {1: 1}


def test_a_copy_of_an_event_that_was_ahead_of_its_time_is_found_out_as_long_as_it_would_count() -> None:
    #   event time  0      59:59  (64:49 ahead)   120:01
    #   e                          folded         again: 55 min old, not late
    fold = new_fold()
    log = records([event("s2", 0), event("s2", 3_599), event("s1", 3_889, event_id="e"), event("s2", 7_201)])
    log[2] = log[2]._replace(timestamp=log[1].timestamp)
    assert fold.fold(log).folded == 4
    assert fold.fold([log[2]._replace(offset=4, timestamp=log[3].timestamp)]).again == [4]


def test_a_year_told_at_once_is_told_in_parts() -> None:
    fold = Fold.restore(Marker(0), BOUNDS, {}, {})
    fold.fold(records([event("s1", 3_600 * hour) for hour in range(1_200)]))
    told = [partial for partial in fold.partials() if partial.scope == "school:all"]
    assert len(told) == 3
    assert max(len(partial.panes) for partial in told) == WINDOWS_MAX
    assert len({pane for partial in told for pane in partial.panes}) == 1_200
    assert sum(of.students for partial in told for of in partial.days.values()) == 51
    assert [partial.now is not None for partial in told] == [True, False, False]


def test_a_session_over_midnight_counts_for_the_day_it_began_on() -> None:
    #   23:50 ─ every 4 min ─ 01:46: told of the first day as it goes on, long after that day is final
    fold = new_fold()
    values = StudentValues(0, 120_000, fold.learners)
    first_s, last_s, told = 11 * 3600 + 3_000, 13 * 3600 + 6_360, dict[tuple[str, int], MetricPoint]()
    happened = [event("s1", at_s) for at_s in range(first_s, last_s + 1, 240)]
    for record in records(happened):
        fold.fold([record])
        values.time.progress(0, record.offset, fold.marker.event_time_ms, False, 0)
        fold.partials()
        for update in values.updates(fold.changed()):
            told |= {(point.metric, point.start_ms): point for point in update.points}
        values.time.promise(0, values.told)
        values.time.advance()
        fold.changes(values.time.clock.closed_ms)
    (noon_day, next_day) = (NOON_MS - 43_200_000, NOON_MS + 43_200_000)
    assert told[Metric.SESSIONS, noon_day].value == 1
    assert told[Metric.ACTIVE_S, noon_day].value == (len(happened) - 1) * 240
    assert told[Metric.SESSIONS, next_day].value == 0
