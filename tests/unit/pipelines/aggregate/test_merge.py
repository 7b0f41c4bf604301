"""Merge and fold together: what the windows say equals what is counted one by one."""

import copy
import random
from collections.abc import Iterable, Sequence

import pytest
from classroom import BOUNDS, GRACE_MS, NOON_MS, Pipeline, event, new_fold, records, some_events, truth
from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate.merge import KEEP_MS, STALLED_MS, Held, Merge, Window
from pipelines.aggregate.windows import DAY_MS, HOUR_MS, PANE_MS, pane_of
from pipelines.records import Message
from wire import partials
from wire.events import ActivityEvent, Kind
from wire.metrics import WINDOW_S, Metric, MetricPoint, ScopeUpdate, State
from wire.partials import NowCounts, PaneCounts, Partial, Progress, Said

COURSE = "course:py101"
SCOPES = ["school:all", COURSE, "team:py101/t1"]
P, F, C = State.PROVISIONAL, State.FINAL, State.CORRECTED
NOW = {
    Metric.PRESENT_STUDENTS,
    Metric.IDLE_STUDENTS,
    Metric.STRUGGLING_STUDENTS,
    Metric.HELP_REQUESTS_OPEN,
    Metric.LONGEST_WAIT_S,
}
EVENTS = {Metric.EVENTS_PER_MINUTE, Metric.EVENTS_PER_HOUR, Metric.EVENTS_PER_DAY}
STUDENTS = {Metric.ACTIVE_STUDENTS, Metric.ACTIVE_STUDENTS_HOUR, Metric.ACTIVE_STUDENTS_DAY}
ERRORS = {Metric.ERROR_RATE, Metric.ERROR_RATE_HOUR, Metric.ERROR_RATE_DAY}
FAR_MS = 10**9  # of the wall clock, when every window that holds an event has been told and closed


def check(pipeline: Pipeline, happened: list[ActivityEvent]) -> int:
    """Every point ever told, in its last version, against the truth. Returns how many were checked."""
    checked = 0
    for (scope, _, start_ms), point in pipeline.points.items():
        if point.end_ms % 60_000:  # what slides in between is only told while it is newest
            continue
        events, students, attempts, failures = truth(happened, scope, start_ms, point.window_s)
        if point.metric in EVENTS:
            expected: tuple[float, int] = (events, events)
        elif point.metric in STUDENTS:
            expected = (students, events)
        elif point.metric in ERRORS:
            expected = (failures / attempts if attempts else 0, attempts)
        else:
            continue
        assert (point.value, point.n) == expected, (scope, point)
        checked += 1
    for metric in EVENTS:
        window_ms = WINDOW_S[metric] * 1000
        starts = {one.occurred_at_ms // window_ms * window_ms for one in happened if one.course_id == "py101"}
        told = {start for scope, field, start in pipeline.points if (scope, field) == (COURSE, metric)}
        assert starts <= told, "every window that holds an event has been told"
    return checked


def fold_some(pipeline: Pipeline, rng: random.Random, happened: list[ActivityEvent], batch: int) -> None:
    """Tells after each batch, and commits after some."""
    offsets = [0] * len(pipeline.folds)
    for first in range(0, len(happened), batch):
        for one in happened[first : first + batch]:
            home = int(one.student_id[1:]) % len(pipeline.folds)
            pipeline.folds[home].fold(records([one], offsets[home]))
            offsets[home] += 1
        pipeline.tell()
        if rng.random() < 0.3:
            pipeline.commit()
    pipeline.tell(idle=range(len(pipeline.folds)))
    pipeline.pass_time(FAR_MS)


def last_words(pipeline: Pipeline) -> dict[tuple[str, str, int], tuple[float, int, State]]:
    """Of the windows that are closed."""
    return {key: (point.value, point.n, point.state) for key, point in pipeline.points.items() if point.state is not P}


@given(seed=st.integers(0, 100_000), partitions=st.sampled_from([1, 3, 8]), batch=st.sampled_from([1, 7, 80]))
def test_every_window_equals_the_truth_over_any_split_into_partitions_and_batches(
    seed: int, partitions: int, batch: int
) -> None:
    rng = random.Random(seed)
    happened = some_events(rng, 80)
    rng.shuffle(happened)  # all within the lateness bound
    pipeline = Pipeline(partitions)
    fold_some(pipeline, rng, happened, batch)
    assert check(pipeline, happened) > 20
    kinds = {key: point for key, point in pipeline.points.items() if key[1].startswith("events_by_kind")}
    for scope in ("school:all", COURSE):
        assert sum(p.value for (of, _, _), p in kinds.items() if of == scope) == len(happened)


@given(seed=st.integers(0, 100_000), span_s=st.sampled_from([900, 20_000]))
def test_events_out_of_order_within_the_grace_give_the_same_final_windows_over_any_split_and_order(
    seed: int, span_s: int
) -> None:
    rng = random.Random(seed)
    happened = some_events(rng, 60, span_s=span_s)
    last: list[dict[tuple[str, str, int], tuple[float, int, State]]] = []
    for partitions, batch in ((1, 60), (1, 1), (3, 4), (8, 9)):
        pipeline = Pipeline(partitions)
        shaken = sorted(happened, key=lambda one: one.occurred_at_ms + rng.randrange(GRACE_MS))
        fold_some(pipeline, rng, shaken, batch)
        last.append(last_words(pipeline))
    assert last[0] == last[1] == last[2] == last[3]
    assert {state for _, _, state in last[0].values()} == {F}
    assert len(last[0]) > 100


def said_by(partitions: int, happened: Sequence[ActivityEvent], batch: int) -> list[list[Said]]:
    """What each source partition says of these events."""
    out: list[list[Said]] = []
    for partition in range(partitions):
        fold = new_fold(partition)
        log = records([one for one in happened if int(one.student_id[1:]) % partitions == partition])
        said: list[Said] = []
        for first in range(0, len(log), batch):
            fold.fold(log[first : first + batch])
            said += [
                partials.decode(partials.encode(one)) for one in sorted(fold.partials(), key=lambda one: one.scope)
            ]
            fold.changed(), fold.changes(), fold.seen_ids()
            marker = fold.marker
            said.append(Progress(partition=partition, offset=marker.offset, event_time_ms=marker.event_time_ms))
        out.append(said)
    return out


def interleave(rng: random.Random, said: Iterable[Sequence[Said]]) -> list[Said]:
    """Each source in its order."""
    left = [list(of) for of in said if of]
    out: list[Said] = []
    while left:
        one = rng.choice(left)
        out.append(one.pop(0))
        left = [of for of in left if of]
    return out


def sums_of(merge: Merge) -> dict[Window, object]:
    out = {}
    for name, scope in merge._scopes.items():
        for kind, ledger in scope.ledgers.items():
            ledger.add_up()
            out.update({Window(name, kind, number): copy.deepcopy(total) for number, total in ledger.sums.items()})
    return out


@given(seed=st.integers(0, 100_000), partitions=st.sampled_from([1, 3, 8]), batch=st.sampled_from([1, 5, 40]))
def test_merging_is_the_same_in_any_order_and_a_replay_of_any_suffix_changes_nothing(
    seed: int, partitions: int, batch: int
) -> None:
    rng = random.Random(seed)
    said = said_by(partitions, some_events(rng, 40), batch)
    one, other = new_merge(partitions), new_merge(partitions)
    order = interleave(rng, said)
    for each in order:
        one.apply(each, 0)
    for each in interleave(rng, said):
        other.apply(each, 0)
    assert sums_of(one) == sums_of(other)
    one.updates(), one.changes(0), one.time.advance(), one.updates(), one.changes(0)
    told, before = one.time.clock, sums_of(one)
    for each in copy.deepcopy(order[rng.randrange(len(order)) :]):
        one.apply(each, 0)
    assert one.updates() == []
    assert one.changes(0) == {}
    assert (one.time.clock, sums_of(one)) == (told, before)


def new_merge(partitions: int) -> Merge:
    return Merge(0, range(partitions), BOUNDS.lateness_ms, GRACE_MS)


def test_a_source_that_lags_holds_back_what_is_final_and_not_what_is_told() -> None:
    #   minute          |----1----|----2----|----3----|----4----|
    #   source 0, s0     x                   x                  x 4:01
    #   source 1, s1     y                   .                  .               then y' 0:50, then idle
    #   watermark        0:05 ................................. 0:05            0:50      4:01
    #   minute 1         2, open                                2 provisional   3 prov.   3 final
    pipeline = Pipeline(2)
    pipeline.folds[0].fold(records([event("s0", 5)]))
    pipeline.folds[1].fold(records([event("s1", 5)]))
    pipeline.tell()
    pipeline.folds[0].fold(records([event("s0", 125), event("s0", 241)], first_offset=1))
    pipeline.tell()
    pipeline.pass_time(0)
    minute_1 = (COURSE, "events_per_minute", NOON_MS)
    assert (pipeline.points[minute_1].value, pipeline.points[minute_1].state) == (2, P)
    assert pipeline.points[minute_1].watermark_ms == NOON_MS + 5_000
    pipeline.folds[1].fold(records([event("s1", 50)], first_offset=1))
    pipeline.tell()
    pipeline.pass_time(0)
    assert (pipeline.points[minute_1].value, pipeline.points[minute_1].state) == (3, P)
    pipeline.tell(idle={1})
    pipeline.pass_time(0)
    assert (pipeline.points[minute_1].value, pipeline.points[minute_1].state) == (3, F)
    assert pipeline.points[minute_1].watermark_ms == NOON_MS + 241_000
    pipeline.folds[1].fold(records([event("s1", 55)], first_offset=2))
    pipeline.tell()
    assert (pipeline.points[minute_1].value, pipeline.points[minute_1].state) == (4, C)


def test_the_watermark_does_not_close_what_a_scope_has_still_to_hear_of() -> None:
    """A source says scope by scope what it has folded, and only then how far it is."""
    merge = new_merge(1)
    for said in said_by(1, [event("s0", 5), event("s0", 900)], 2)[0][:-1]:
        merge.apply(said, 0)
    merge.updates(), merge.changes(0), merge.time.advance()
    assert merge.time.clock.closed_ms == 0
    assert merge.time.clock.now_ms == NOON_MS + 900_000


def test_in_a_room_where_all_are_idle_the_wall_clock_closes_the_windows() -> None:
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 5)]))
    pipeline.tell(idle={0})
    minute_1 = (COURSE, "events_per_minute", NOON_MS)
    pipeline.pass_time(100_000)
    assert pipeline.points[minute_1].state is P
    pipeline.pass_time(180_000)
    assert pipeline.points[minute_1].state is F


def test_live_values_fall_to_zero_as_the_clock_moves_on_in_a_quiet_room() -> None:
    #   events   |x at 5 s
    #   wall     0 s        +70 s          +320 s          +30 min      told no more
    #   1 min    1           0              0
    #   5 min    1 active    1 active       0 active
    #   present  1           1              1               0
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 5)]))
    pipeline.tell()
    assert pipeline.value(COURSE, Metric.EVENTS_PER_MINUTE, 10, 60) == 1
    pipeline.pass_time(65_000)
    assert pipeline.value(COURSE, Metric.EVENTS_PER_MINUTE, 80, 60) == 0
    assert pipeline.value(COURSE, Metric.ACTIVE_STUDENTS, 80, 300) == 1
    pipeline.pass_time(315_000)
    assert pipeline.value(COURSE, Metric.ACTIVE_STUDENTS, 330, 300) == 0
    assert pipeline.value(COURSE, Metric.PRESENT_STUDENTS, 360, 60) == 1
    assert pipeline.value(COURSE, Metric.IDLE_STUDENTS, 360, 60) == 1
    pipeline.pass_time(1_815_000)
    assert pipeline.value(COURSE, Metric.PRESENT_STUDENTS, 1_860, 60) == 0
    told = len(pipeline.told)
    pipeline.pass_time(2_000_000)
    assert len(pipeline.told) == told


def test_how_students_stand_adds_up_over_partitions() -> None:
    #   s0 asks at 1 s; s1 asks at 2 s, and fails at a task at 3, 70 and 130 s
    pipeline = Pipeline(2)
    pipeline.folds[0].fold(records([event("s0", 1, Kind.HELP_REQUESTED)]))
    failures = [event("s1", at_s, task_id="a", success=False) for at_s in (3, 70, 130)]
    pipeline.folds[1].fold(records([event("s1", 2, Kind.HELP_REQUESTED), *failures]))
    pipeline.tell()
    assert pipeline.value(COURSE, Metric.HELP_REQUESTS_OPEN, 180, 60) == 2
    assert pipeline.value(COURSE, Metric.LONGEST_WAIT_S, 180, 60) == 129
    assert pipeline.value(COURSE, Metric.PRESENT_STUDENTS, 180, 60) == 2
    assert pipeline.value(COURSE, Metric.STRUGGLING_STUDENTS, 180, 60) == 1


def test_a_student_in_many_panes_of_a_window_counts_once() -> None:
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", second) for second in range(0, 300, 7)] + [event("s2", 299)]))
    pipeline.tell()
    assert pipeline.value(COURSE, Metric.ACTIVE_STUDENTS, 300, 300) == 2


def partial(offset: int, pane: int, events: int, source: int = 0) -> Partial:
    time_ms = pane * PANE_MS
    counts = {pane: PaneCounts(events, gaps={30: 1})}
    return Partial(scope="course:c1", partition=source, offset=offset, event_time_ms=time_ms, panes=counts)


def newest(updates: list[ScopeUpdate]) -> MetricPoint:
    return [p for update in updates for p in update.points if p.metric is Metric.EVENTS_PER_MINUTE][-1]


def test_an_older_partial_of_a_partition_is_ignored() -> None:
    merge, pane = new_merge(2), pane_of(NOON_MS)
    merge.apply(partial(5, pane, 2), 0)
    merge.apply(partial(3, pane, 1), 0)
    merge.apply(partial(1, pane, 7, source=1), 0)
    assert newest(merge.updates()).value == 9


def test_an_equal_one_of_a_fold_that_reads_again_corrects_nothing() -> None:
    """It may say as of a later event what has not changed with it: it batches anew."""
    merge, pane = new_merge(1), pane_of(NOON_MS)
    merge.apply(partial(5, pane, 2), 0)
    merge.apply(Progress(partition=0, offset=6, event_time_ms=NOON_MS + HOUR_MS), 0)
    merge.updates(), merge.changes(0), merge.time.advance(), merge.updates(), merge.changes(0)
    for offset in (5, 6):
        merge.apply(partial(offset, pane, 2), 0)
        assert merge.updates() == []
    assert set(merge.changes(0)) == {Window("course:c1", "pane", pane)}, "it holds more now"
    merge.apply(partial(7, pane, 3), 0)
    states = {p.state for u in merge.updates() for p in u.points if p.end_ms < NOON_MS + HOUR_MS and p.window_s == 60}
    assert states == {C}


def test_a_scope_that_is_none_is_refused_and_nothing_of_it_taken_in() -> None:
    merge = new_merge(1)
    for name in ("", "course:", "klass:1", "school:other"):
        with pytest.raises(ValueError, match="is no"):
            merge.apply(Partial(scope=name, partition=0, offset=1, event_time_ms=5), 0)
    assert merge.scopes == set()
    assert merge.updates() == []


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 40))
def test_restored_from_its_changelog_it_goes_on_as_if_it_had_never_stopped(seed: int, cut: int) -> None:
    happened = some_events(random.Random(seed), 40)
    pipeline = Pipeline()
    pipeline.folds[0].fold(records(happened[:cut]))
    pipeline.tell()
    pipeline.commit()
    pipeline.restart_merge()
    pipeline.folds[0].fold(records(happened[cut:], first_offset=cut))
    pipeline.tell(idle={0})
    pipeline.pass_time(FAR_MS)
    check(pipeline, happened)
    states = {p.state for p in pipeline.points.values() if p.n and p.metric in EVENTS and p.end_ms % 60_000 == 0}
    assert states <= {F, C}


def test_a_minute_under_way_when_it_stopped_is_told_though_time_jumps_over_its_end() -> None:
    #   minutes   |    0    |    1    |    2    |
    #   events     x          ✗            x        ✗ killed and restored
    pipeline = Pipeline()
    happened = [event("s0", 5), event("s0", 130)]
    pipeline.folds[0].fold(records(happened[:1]))
    pipeline.tell()
    pipeline.commit()
    pipeline.restart_merge()
    pipeline.folds[0].fold(records(happened[1:], first_offset=1))
    pipeline.tell()
    assert pipeline.value(COURSE, Metric.EVENTS_PER_MINUTE, 60, 60) == 1


def test_killed_between_closing_and_telling_it_tells_what_was_closed() -> None:
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s0", 5), event("s0", 300)]))
    pipeline.tell()
    pipeline.commit()  # says in the changelog that minute 1 is closed
    minute_1 = (COURSE, "events_per_minute", NOON_MS)
    assert pipeline.points[minute_1].state is P
    pipeline.restart_merge()
    pipeline.tell()
    assert pipeline.points[minute_1].state is F


@given(seed=st.integers(0, 100_000), steps=st.lists(st.sampled_from([0, 300, 4_000, 9_000, 70_000]), max_size=30))
def test_time_and_states_never_go_back_over_quiet_times_and_kills(seed: int, steps: list[int]) -> None:
    rng = random.Random(seed)
    pipeline = Pipeline(2)
    happened = [records(some_events(rng, len(steps) * 2 + 1, span_s=3_000)) for _ in range(2)]
    log: list[Said] = []
    read = position = told = 0  # of the log: by this life, and as committed; of what was told
    wall_ms = 0
    newest: dict[tuple[str, str, int], MetricPoint] = {}
    for step in steps:
        wall_ms += step
        log += say(pipeline, rng, happened)
        for said in log[read:]:
            pipeline.merge.apply(copy.deepcopy(said), wall_ms)
        read = len(log)
        pipeline.update()
        match rng.choice(["tick", "commit", "kill", "kill within"]):
            case "commit":
                pipeline.commit(wall_ms)
                position = read
            case "kill within":  # all has been told for a commit that does not come
                pipeline.merge.time.advance()
                pipeline.update()
                pipeline.merge.changes(wall_ms)
                pipeline.restart_merge(wall_ms)
                read = position
            case "kill":
                wall_ms += rng.choice([0, 60_000])
                pipeline.restart_merge(wall_ms)
                read = position
        for scope, point in pipeline.told[told:]:
            key = (scope, point.field, point.start_ms)
            if before := newest.get(key):
                assert before.as_of_ms <= point.as_of_ms
                assert before.watermark_ms <= point.watermark_ms
                assert [P, F, C].index(before.state) <= [P, F, C].index(point.state)
                if point.metric in EVENTS:
                    assert before.value <= point.value
            newest[key] = point
        told = len(pipeline.told)


def say(pipeline: Pipeline, rng: random.Random, happened: list[list[Message]]) -> list[Said]:
    """One of the folds goes on, or has nothing to do."""
    said: list[Said] = []
    fold = rng.choice(pipeline.folds)
    for _ in range(rng.randrange(3)):
        fold.fold([happened[fold.marker.partition].pop(0)])
    said += fold.partials()
    marker = fold.marker
    idle = not said and rng.random() < 0.5
    said.append(
        Progress(partition=marker.partition, offset=marker.offset, event_time_ms=marker.event_time_ms, idle=idle)
    )
    return [partials.decode(partials.encode(one)) for one in said]


def test_told_time_does_not_go_back_when_an_event_comes_after_a_quiet_time() -> None:
    #   events    |x at 5 s                        |y, of 57 s, told at wall 55.5 s
    #   wall      0 s         55 s (idle: it is 60 s by now)
    #   as of     5 s         60 s                 60 s: else a sink would take the newer value for the older
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 5)]))
    pipeline.tell(wall_ms=0)
    pipeline.pass_time(wall_ms=55_000)
    before = pipeline.points[COURSE, "events_per_minute", NOON_MS]
    assert before.as_of_ms == NOON_MS + 60_000
    pipeline.folds[0].fold(records([event("s1", 57)], first_offset=1))
    pipeline.tell(wall_ms=55_500)
    after = pipeline.points[COURSE, "events_per_minute", NOON_MS]
    assert (before.value, after.value) == (1, 2)
    assert after.as_of_ms >= before.as_of_ms


def dropped(changes: dict[Window, Held | None], kind: str) -> set[Window]:
    return {window for window, held in changes.items() if held is None and window.kind == kind}


def test_what_no_one_can_change_any_more_is_dropped_with_a_tombstone() -> None:
    #   event time   noon      two days on
    #   wall         0          1 min                     3 h
    #   noon's pane  held       held, for who lags        dropped
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 0)]))
    pipeline.tell()
    pipeline.commit()
    pipeline.folds[0].fold(records([event("s1", 2 * 86_400)], first_offset=1))
    pipeline.tell()
    pipeline.commit(60_000)
    assert not dropped(pipeline.commit(100_000), "pane"), "a partition may lag behind and still speak of them"
    changes = pipeline.commit(3 * HOUR_MS)
    for kind, width_ms in (("pane", PANE_MS), ("hour", HOUR_MS), ("day", DAY_MS)):
        assert dropped(changes, kind) == {Window(scope, kind, NOON_MS // width_ms) for scope in ("school:all", COURSE)}
    assert Window("0", "clock", 0) in changes, "which says up to when something may be missing"


def test_an_hour_can_be_corrected_until_the_watermark_is_the_lateness_past_its_end() -> None:
    #   hour        |---12---|---13---|
    #   events       x               x 13:59, and y 12:59:30 of the same partition, in time
    #   wall         0                KEEP_MS later, looked through before y comes
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 0)]))
    pipeline.tell()
    pipeline.commit()
    pipeline.folds[0].fold(records([event("s1", 7_140)], first_offset=1))
    pipeline.tell()
    pipeline.commit(KEEP_MS * 2)
    pipeline.commit(KEEP_MS * 4)
    pipeline.folds[0].fold(records([event("s1", 7_141), event("s1", 3_570)], first_offset=2))
    pipeline.tell(KEEP_MS * 4)
    point = pipeline.points[COURSE, "events_per_hour", NOON_MS]
    assert (point.value, point.state) == (2, C)


def test_a_window_that_was_dropped_is_not_told_by_what_one_partition_knows_of_it() -> None:
    #   partition 0   s0 at noon          two days on; noon's windows are dropped
    #   partition 1   idle ............................ wakes: s1 at noon
    pipeline = Pipeline(2)
    pipeline.folds[0].fold(records([event("s0", 0)]))
    pipeline.tell(idle={1})
    pipeline.commit()
    pipeline.folds[0].fold(records([event("s0", 2 * 86_400)], first_offset=1))
    pipeline.tell(idle={1})
    for wall_ms in (0, 3 * HOUR_MS):
        pipeline.commit(wall_ms)
    for restarted in (False, True):
        if restarted:
            pipeline.restart_merge(3 * HOUR_MS)
        pipeline.folds[1].fold(records([event("s1", restarted)], first_offset=int(restarted)))
        pipeline.tell(3 * HOUR_MS)
        assert pipeline.points[COURSE, "events_per_day", NOON_MS // DAY_MS * DAY_MS].value == 1
        assert pipeline.merge.refused == 2 * 3, "of course and school the pane, the hour and the day"


def test_a_partition_that_stands_still_does_not_make_it_keep_everything_for_ever() -> None:
    #   partition 0   s0 at noon      4 h on             7 h on
    #   partition 1   never heard of
    #   noon          held            held, not final    dropped
    pipeline = Pipeline(2)
    for offset, at_s in enumerate((0, 4 * 3600, 7 * 3600)):
        pipeline.folds[0].fold(records([event("s0", at_s)], first_offset=offset))
        for one in pipeline.folds[0].partials():
            pipeline.merge.apply(partials.decode(partials.encode(one)), offset * 3 * HOUR_MS)
        gone = dropped(pipeline.commit(offset * 3 * HOUR_MS), "pane")
        noon = {Window(scope, "pane", NOON_MS // PANE_MS) for scope in ("school:all", COURSE)}
        assert gone == (noon if at_s > STALLED_MS // 1000 else set())


def test_a_student_whose_partition_lags_behind_by_hours_loses_nothing() -> None:
    #   partition 0   |s0 now
    #   partition 1   |s1 three hours ago, a pane in two events, with a sweep in between
    pipeline = Pipeline(2)
    pipeline.folds[0].fold(records([event("s0", 3 * 3600)]))
    pipeline.tell(wall_ms=100_000)
    pipeline.commit(100_000)
    for offset, at_s in enumerate((1, 2)):
        pipeline.folds[1].fold(records([event("s1", at_s, success=False)], first_offset=offset))
        pipeline.tell(wall_ms=200_000 + offset * 60_000)
        pipeline.commit(200_000 + offset * 60_000)
    pipeline.folds[1].fold(records([event("s1", 65)], first_offset=2))
    pipeline.tell(wall_ms=400_000)
    five_minutes_from = NOON_MS + 120_000 - 300_000
    assert pipeline.points[COURSE, "error_rate", five_minutes_from].n == 2
    assert pipeline.points[COURSE, "active_students", five_minutes_from].n == 3


def test_of_a_scope_that_nobody_speaks_of_nothing_is_left_after_a_day() -> None:
    pipeline = Pipeline()
    pipeline.folds[0].fold(records([event("s1", 0), event("s2", 0, Kind.HELP_REQUESTED, course_id="c2")]))
    pipeline.tell(wall_ms=0)
    pipeline.commit()
    for offset, wall_ms, at_s in ((2, DAY_MS // 2, 2 * 86_400), (3, DAY_MS + 60_000, 3 * 86_400)):
        pipeline.folds[0].fold(records([event("s3", at_s, course_id="c3")], first_offset=offset))
        pipeline.tell(wall_ms)
        pipeline.commit(wall_ms)
        pipeline.commit(wall_ms + 40_000)
    pipeline.commit(DAY_MS + 2 * HOUR_MS)
    left = {window.scope: window.kind for window in pipeline.stored if window.kind != "clock"}
    assert left.keys() == {"course:c2", "course:c3", "school:all"}
    assert left["course:c2"] == "now", "he still waits"
    assert left.keys() == pipeline.merge.scopes
    pipeline.folds[0].fold(records([event("s1", 3 * 86_400)], first_offset=4))
    pipeline.tell(wall_ms=DAY_MS + 2 * HOUR_MS)
    pipeline.pass_time(DAY_MS + 3 * HOUR_MS)
    assert pipeline.value(COURSE, Metric.EVENTS_PER_MINUTE, 3 * 86_400 + 60, 60) == 1


def test_the_record_of_a_changelog_comes_back_as_it_was() -> None:
    pipeline = Pipeline(2)
    pipeline.folds[0].fold(records([event("s0", 1, success=False, score=0.5, task_id="a", team_id="t1")]))
    pipeline.folds[1].fold(records([event("s1", 2, Kind.HELP_REQUESTED)]))
    pipeline.tell()
    assert pipeline.commit() == pipeline.stored
    now = pipeline.stored[Window(COURSE, "now", 0)].now
    assert now == {
        0: (0, NowCounts(seen={NOON_MS // PANE_MS: 1})),
        1: (0, NowCounts(seen={NOON_MS // PANE_MS: 1}, waiting={NOON_MS + 2_000: 1})),
    }


@pytest.mark.parametrize("metric", list(Metric))
def test_every_metric_has_a_window_of_whole_panes(metric: Metric) -> None:
    assert WINDOW_S[metric] * 1000 % PANE_MS == 0
