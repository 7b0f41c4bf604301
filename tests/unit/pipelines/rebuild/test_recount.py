"""The aggregate's arithmetic in one process: the same values from wherever it begins, however the records are dealt."""

import random
from collections.abc import Iterable, Sequence

import msgspec
from classroom import BOUNDS, GRACE_MS, NOON_MS, event, records, some_events, truth
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.aggregate.windows import DAY_MS, HOUR_MS
from pipelines.rebuild.difference import MERGE, Rebuilt, is_compared
from pipelines.rebuild.recount import Recount, Told, warm_up_ms
from pipelines.records import Message
from wire import events
from wire.events import ActivityEvent, Kind
from wire.metrics import Metric

PARTITIONS = 3
Windows = dict[tuple[str, str, str, int], Rebuilt]


def logs(happened: Sequence[ActivityEvent]) -> dict[int, list[Message]]:
    """As the door would write them, in this order: the record's time is when the event was received."""
    out: dict[int, list[Message]] = {partition: [] for partition in range(PARTITIONS)}
    for one in happened:
        log = out[sum(one.student_id.encode()) % PARTITIONS]
        log.append(Message(len(log), one.received_at_ms, one.student_id.encode(), events.encode(one)))
    return out


def kept(told: Iterable[Told], windows: Windows) -> None:
    for teller, updates in told:
        for update in updates:
            for one in (Rebuilt.of(update.scope, point, teller) for point in update.points if is_compared(point)):
                windows[one[:4]] = one


def recount(
    of: dict[int, list[Message]], since_ms: int, until_ms: int, step_ms: int, warm_ms: int = 0
) -> tuple[Recount, Windows]:
    work, windows = Recount(range(PARTITIONS), BOUNDS, GRACE_MS, since_ms), Windows()
    for from_ms in range(since_ms, until_ms, step_ms):
        to_ms = min(from_ms + step_ms, until_ms)
        for partition, log in of.items():
            work.fold(partition, [one for one in log if from_ms <= one.timestamp < to_ms])
        coming = {partition: [one for one in log if one.timestamp >= to_ms] for partition, log in of.items()}
        if to_ms < warm_ms:
            work.warm_up(to_ms)
        else:
            kept(work.tell(to_ms, {partition: left[0] for partition, left in coming.items() if left}), windows)
    kept(work.finish(until_ms), windows)
    return work, windows


def days(rng: random.Random, number: int) -> list[ActivityEvent]:
    """Five days of nine students in two courses, some offline for a while, some sent again."""
    happened = [
        msgspec.structs.replace(
            one,
            course_id=rng.choice(["py101", "py102"]),
            task_id=rng.choice([None, "t1", "t2"]),
            score=rng.choice([None, 0.5, 1.0]),
            received_at_ms=one.occurred_at_ms + rng.choice([200, 1_000, 40 * 60_000, 5 * HOUR_MS]),
        )
        for one in some_events(rng, number, students=9, span_s=5 * 86_400)
    ]
    again = [
        msgspec.structs.replace(one, received_at_ms=one.received_at_ms + rng.randrange(30 * 60_000))
        for one in rng.sample(happened, number // 10)
    ]
    return sorted(happened + again, key=lambda one: one.received_at_ms)


def said(windows: Windows, from_ms: int) -> dict[tuple[str, str, str, int], tuple[float, int, bool]]:
    return {key: (one.value, one.n, one.open) for key, one in windows.items() if one.start_ms >= from_ms}


@settings(max_examples=5)
@given(st.integers(0, 10**6), st.sampled_from([HOUR_MS, 7 * HOUR_MS, 60 * HOUR_MS]))
def test_begun_a_warm_up_before_it_gives_what_begun_at_the_beginning_gives(seed: int, step_ms: int) -> None:
    rng = random.Random(seed)
    of, until_ms = logs(days(rng, 400)), NOON_MS + 6 * DAY_MS
    whole, everything = recount(of, NOON_MS, until_ms, step_ms)
    from_ms = NOON_MS + rng.randrange(3 * DAY_MS, 4 * DAY_MS)
    warm_ms = from_ms - BOUNDS.skew_ms
    _, late = recount(of, from_ms - warm_up_ms(BOUNDS), until_ms, rng.choice([HOUR_MS, 2 * DAY_MS]), warm_ms)
    assert whole.verdicts.late
    assert whole.verdicts.duplicate
    assert said(late, from_ms) == said(everything, from_ms) != {}


def test_what_the_warm_up_is_for() -> None:
    #   hours from midnight    -47:50           -0:10   0   0:10
    #   s1                                      x           x      one session, of the day before
    #   s2                     16 courses                   x      one course too many
    midnight_ms = NOON_MS // DAY_MS * DAY_MS + 3 * DAY_MS
    midnight_s = (midnight_ms - NOON_MS) // 1000
    before = [event("s2", midnight_s - 172_200, course_id=f"c{number}", event_id=f"e{number}") for number in range(16)]
    last = [event("s1", midnight_s - 600), event("s1", midnight_s + 600), event("s2", midnight_s + 600)]
    of, until_ms = logs([*before, *last]), midnight_ms + DAY_MS
    _, whole = recount(of, NOON_MS, until_ms, HOUR_MS)
    assert whole["student:s1", "sessions", "", midnight_ms].value == 0
    assert whole["school:all", "events_per_day", "", midnight_ms].value == 1
    for since_ms, is_enough in ((midnight_ms - warm_up_ms(BOUNDS), True), (midnight_ms - 300_000, False)):
        _, late = recount(of, since_ms, until_ms, HOUR_MS, midnight_ms - BOUNDS.skew_ms)
        for key in (("student:s1", "sessions"), ("school:all", "events_per_day")):
            value = late[*key, "", midnight_ms].value
            assert (value == whole[*key, "", midnight_ms].value) is is_enough


def test_it_counts_what_happened_and_says_what_is_still_open() -> None:
    happened = [event(f"s{number % 7}", number * 10, success=number % 3 > 0) for number in range(60)]
    last_ms = happened[-1].occurred_at_ms
    _, windows = recount(logs(happened), NOON_MS, last_ms + 1, HOUR_MS)
    for scope in ("school:all", "course:py101", "student:s3"):
        for minute in range(10):
            start_ms = NOON_MS + minute * 60_000
            one = windows.get((scope, "events_per_minute", "", start_ms))
            assert (one.value if one else 0) == truth(happened, scope, start_ms, 60)[0]
    of_school = {
        end: windows["school:all", "events_per_minute", "", NOON_MS + end * 60_000 - 60_000] for end in (7, 10)
    }
    assert {end: one.open for end, one in of_school.items()} == {7: False, 10: True}
    assert windows["school:all", "events_per_day", "", NOON_MS // DAY_MS * DAY_MS].open


def test_where_nothing_came_for_a_while_windows_close_as_they_do_live() -> None:
    of = logs([event("s1", 5), event("s2", 6)])
    work, windows = recount(of, NOON_MS, NOON_MS + 13 * HOUR_MS, HOUR_MS)
    assert not any(one.open for one in windows.values())
    assert work.clock.closed_ms > NOON_MS + 12 * HOUR_MS
    assert work.seen_ms[MERGE] == NOON_MS + 6_000


def test_who_was_offline_for_a_day_counts_where_the_others_have_gone_on() -> None:
    #   hour          0     1     2   ..   24    25
    #   s2, s3       live                        live
    #   s1 offline    x     x                    sent, alone in his partition
    offline = [event("s1", hour * 3_600, received_at_ms=NOON_MS + 25 * HOUR_MS) for hour in (0, 1)]
    live = [event(f"s{2 + minute % 2}", minute * 60) for minute in range(25 * 60 + 30)]
    of = logs(sorted([*offline, *live], key=lambda one: one.received_at_ms))
    assert sorted(map(len, of.values())) == [2, len(live) // 2, len(live) // 2]
    work, windows = recount(of, NOON_MS, NOON_MS + 26 * HOUR_MS, HOUR_MS // 2)
    assert work.verdicts.late == 0
    for start_ms in (NOON_MS, NOON_MS + HOUR_MS):
        assert windows["school:all", "events_per_minute", "", start_ms].value == 2
        assert windows["school:all", "events_per_hour", "", start_ms].value == 61
        assert windows["student:s1", "events_per_minute", "", start_ms].value == 1


class Surprising(Message):
    """A record that our code cannot read, with the others or alone."""

    @property
    def value(self) -> bytes:
        raise RuntimeError("our bug")


def test_a_record_that_cannot_be_read_is_a_dead_letter_and_the_rest_counts() -> None:
    log = records([event("s1", 0), event("s1", 1, Kind.PAGE_VIEWED), event("s1", 2)])
    work = Recount([0], BOUNDS, GRACE_MS, NOON_MS)
    work.fold(0, [log[0], Surprising(*log[1]), log[2]])
    assert (work.verdicts.folded, work.verdicts.dead) == (2, 1)
    windows = Windows()
    kept(work.finish(NOON_MS + HOUR_MS), windows)
    assert windows["student:s1", Metric.EVENTS_PER_MINUTE.value, "", NOON_MS].value == 2
