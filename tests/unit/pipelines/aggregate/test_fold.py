"""The fold of one partition: what counts, what does not, and that a replay changes nothing."""

import random
from collections.abc import Callable, Iterable, Sequence

import msgspec
import pytest
from classroom import BOUNDS, NOON_MS, event, new_fold, records
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.aggregate import students
from pipelines.aggregate.fold import Bounds, Fold
from pipelines.aggregate.marker import Marker, SeenIds
from pipelines.aggregate.panes import AT_ONCE, Counts, rest
from pipelines.aggregate.points import HELP_OPEN_MS, PRESENT_PANES, STRUGGLING_PANES
from pipelines.aggregate.sessions import Sessions
from pipelines.aggregate.students import Day, Hour, Place, Stuck, Student, Task
from pipelines.aggregate.windows import LONGEST_WINDOW_MS, PANE_MS
from pipelines.records import Message
from pipelines.settings import AggregateSettings
from wire import events, partials, topics
from wire.dead_letters import Reason
from wire.events import ID_MAX, ActivityEvent, Kind
from wire.partials import DELAY_BUCKETS, SCORE_BINS, NowCounts, Partial


def tell(fold: Fold) -> None:
    """What a flush makes of it."""
    fold.partials(), fold.changed(), fold.changes(), fold.seen_ids()


def test_counts_an_event_in_the_schools_the_courses_and_the_teams_scope() -> None:
    fold = new_fold()
    late = event("s1", 3, team_id="t1", success=False, score=0.75, received_at_ms=NOON_MS + 3_400)
    assert fold.fold(records([late])).folded == 1
    partials = {partial.scope: partial for partial in fold.partials()}
    assert set(partials) == {"school:all", "course:py101", "team:py101/t1"}
    for partial in partials.values():
        (pane,), (hour,), (day,) = partial.panes.values(), partial.hours.values(), partial.days.values()
        assert (pane.events, pane.attempts, pane.failures, pane.gaps) == (1, 1, 1, {30: 1})
        assert (hour.events, hour.attempts, hour.failures, hour.students) == (1, 1, 1, 1)
        assert (day.kinds, day.students, day.attempts, day.failures) == ({"code_run": 1}, 1, 1, 1)
        assert (day.scored, day.score_sum, day.score_bins) == (1, 750, [0] * 7 + [1, 0, 0])
        assert partial.now == NowCounts(seen={NOON_MS // PANE_MS: 1})
    (hour,) = partials["school:all"].hours.values()
    assert hour.delays == [0, 1] + [0] * (DELAY_BUCKETS - 2), "0.4 s lies between 0.25 and 0.5"
    assert [next(iter(partials[scope].days.values())).members for scope in sorted(partials)] == [{}, {}, {1: 1}]


def test_a_student_of_two_teams_is_one_student_of_their_course_and_of_the_school() -> None:
    fold = new_fold()
    fold.fold(records([event("s1", at, team_id=team) for at, team in ((0, "t1"), (10, "t2"), (11, "t1"), (300, "t2"))]))
    partials = {partial.scope: partial for partial in fold.partials()}
    first = NOON_MS // PANE_MS

    def gaps(scope: str) -> dict[int, dict[int, int]]:
        return {pane - first: counts.gaps for pane, counts in sorted(partials[scope].panes.items())}

    assert gaps("team:py101/t1") == {0: {30: 1}, 1: {1: 1}}
    assert gaps("team:py101/t2") == {1: {30: 1}, 30: {29: 1}}
    assert gaps("course:py101") == gaps("school:all") == {0: {30: 1}, 1: {1: 1}, 30: {29: 1}}
    for scope in partials:
        assert [hour.students for hour in partials[scope].hours.values()] == [1]
        assert [day.students for day in partials[scope].days.values()] == [1]


def test_the_same_event_id_of_a_student_counts_once_however_often_it_comes() -> None:
    fold = new_fold()
    one = event("s1", 3)
    assert fold.fold(records([one, one])).again == [1]
    tell(fold)
    assert fold.fold(records([one], first_offset=2)).again == [2]
    assert fold.partials() == []


def test_an_event_behind_the_lateness_bound_is_late_and_a_second_replay_of_a_whole_file_changes_nothing() -> None:
    #   events   a at 0 h ...... b at 1 h ...... c at 2 h 30        bound 1 h behind the newest
    #   again    a: late         b: late         c: duplicate
    fold = new_fold()
    file = [event("s1", 0), event("s1", 3600), event("s1", 9000)]
    assert fold.fold(records(file)).folded == 3
    tell(fold)
    again = fold.fold([r._replace(timestamp=NOON_MS + 9_000_000) for r in records(file, first_offset=3)])
    assert (again.folded, len(again.late), len(again.again)) == (0, 2, 1)
    assert fold.partials() == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Message(0, NOON_MS, b"s1", None), Reason.NO_VALUE),
        (Message(0, NOON_MS, None, events.encode(event("s1", 0))), Reason.NO_KEY),
        (Message(0, NOON_MS, b"s1", b"\xff\xfe"), Reason.NOT_JSON),
        (Message(0, NOON_MS, b"s1", b"[" * 10_000), Reason.INVALID),
        (Message(0, NOON_MS, b"s1", b'{"event_id":1}'), Reason.INVALID),
        (Message(0, NOON_MS, b"s1", events.encode(event("s1", 0, event_id="a\nb"))), Reason.INVALID),
        (Message(0, NOON_MS, b"s1", events.encode(event("s1", 0, event_id="a\x7fb"))), Reason.INVALID),
        (Message(0, NOON_MS, b"s1", events.encode(event("s1", 0, event_id='a"b'))), None),
        (Message(0, NOON_MS, b"s2", events.encode(event("s1", 0))), Reason.KEY_MISMATCH),
        (Message(0, NOON_MS, b"s1", events.encode(event("s1", 301))), Reason.FUTURE),
        (Message(0, NOON_MS, b"s1", events.encode(event("s1", -NOON_MS / 1000 - 1))), Reason.INVALID),
        (Message(0, NOON_MS, b"s1", events.encode(event("s1", 0)).replace(b'"success"', b'"kind"')), None),
    ],
)
def test_a_record_that_cannot_be_used_is_dead_with_its_reason_and_the_next_one_counts(
    record: Message, reason: Reason | None
) -> None:
    fold = new_fold()
    batch = fold.fold([record, *records([event("s9", 0)], first_offset=1)])
    assert [rejected.reason for rejected in batch.dead] == ([] if reason is None else [reason])
    assert batch.folded == (2 if reason is None else 1)


def test_a_clock_ahead_within_the_skew_does_not_make_others_late() -> None:
    fold = new_fold()
    ahead = events.encode(event("s1", 299))
    fold.fold([Message(0, NOON_MS, b"s1", ahead)])
    assert fold.marker.event_time_ms == NOON_MS


def test_help_is_open_until_it_is_resolved_or_the_session_ends_whatever_order_they_come_in() -> None:
    fold = new_fold()
    asked, resolved = event("s1", 0, Kind.HELP_REQUESTED), event("s1", 60, Kind.HELP_RESOLVED)
    gone, left = event("s2", 30, Kind.HELP_REQUESTED), event("s2", 90, Kind.SESSION_ENDED)
    fold.fold(records([asked]))
    assert [p.now.waiting for p in fold.partials() if p.now] == [{NOON_MS: 1}] * 2
    tell(fold)
    fold.fold(records([resolved, left, gone], first_offset=1))
    assert [p.now.waiting for p in fold.partials() if p.now] == [{}] * 2


def test_students_of_whom_nothing_is_left_are_dropped() -> None:
    fold = new_fold()
    fold.fold(records([event("s1", 0), event("s2", 0, Kind.HELP_REQUESTED)]))
    tell(fold)
    fold.fold(records([event("s3", 3 * 86_400)], first_offset=2))
    fold.partials(), fold.changed()
    changes = fold.changes()
    assert changes["s1"] is None
    assert changes["s2"] is None, "after a day nobody comes any more"


def test_a_student_is_dropped_only_when_his_stored_record_says_what_the_batch_made_of_him() -> None:
    """Killed between the marker and the tombstones, the record before is what is restored: it says that he waits."""
    fold = new_fold()
    fold.fold(records([event("s1", 0, Kind.HELP_REQUESTED)]))
    tell(fold)
    fold.fold(records([event("s1", 1, Kind.HELP_RESOLVED), event("s3", 3 * 86_400)], first_offset=1))
    fold.partials(), fold.changed()
    resolved = fold.changes()["s1"]
    assert resolved is not None
    assert not resolved.places
    fold.fold(records([event("s3", 4 * 86_400)], first_offset=3))
    fold.partials(), fold.changed()
    assert fold.changes()["s1"] is None


def test_an_id_that_comes_again_when_it_would_be_late_counts_whether_or_not_a_batch_ended_in_between() -> None:
    first, time_goes_on, again = event("s1", 0, event_id="e"), event("s2", 7800), event("s1", 7800, event_id="e")
    at_once, in_batches = new_fold(), new_fold()
    assert at_once.fold(records([first, time_goes_on, again])).folded == 3
    for record in records([first, time_goes_on, again]):
        assert in_batches.fold([record]).folded == 1
        in_batches.partials(), in_batches.changes()


def test_with_too_many_ids_the_oldest_are_forgotten_and_counted() -> None:
    """Ten to a generation, two generations are known."""
    fold = new_fold(bounds=BOUNDS._replace(ids_max=10))
    first = [event("s1", second) for second in range(20)]
    assert fold.fold(records(first)).forgotten == 0
    assert fold.fold(records(first, first_offset=20)).again == list(range(20, 40))
    assert fold.fold(records([event("s1", 20)], first_offset=40)).forgotten == 10
    again = fold.fold(records([*first[10:], event("s1", 20)], first_offset=41))
    assert (len(again.again), again.folded) == (11, 0)
    assert fold.fold(records(first[:1], first_offset=52)).folded == 1


def test_ids_that_would_be_late_make_room_and_are_not_counted_as_forgotten() -> None:
    fold = new_fold(bounds=BOUNDS._replace(ids_max=10))
    old, new = [event("s1", second) for second in range(9)], [event("s1", 7300 + second) for second in range(10)]
    assert fold.fold(records(old + new)).forgotten == 0
    assert len(fold.fold(records(new, first_offset=19)).again) == 10


def test_ids_are_told_apart_by_student() -> None:
    fold = new_fold()
    assert fold.fold(records([event(of, 0, event_id=id_) for of, id_ in (("a", "bc"), ("ab", "c"))])).folded == 2


def test_each_partition_that_begins_hashes_ids_with_a_salt_of_its_own_and_knows_them_after_a_restart() -> None:
    disks = [Disk(), Disk(), Disk()]
    folds = [*(disk.restore(BOUNDS) for disk in disks[:2]), Fold(0, BOUNDS)]  # and one as before there was a salt
    for fold, disk in zip(folds, disks, strict=True):
        fold.fold(records([event("s1", 0, event_id="e")]))
        disk.flush(fold)
    assert len({ids for disk in disks for ids in disk.ids.values()}) == len(disks)
    for disk in disks:
        again = disk.restore(BOUNDS).fold(records([event("s1", 1, event_id="e"), event("s1", 1)], first_offset=1))
        assert (again.again, again.folded) == ([1], 1)


def test_a_student_in_too_many_courses_is_a_dead_letter_and_his_other_courses_go_on_counting() -> None:
    fold = new_fold(bounds=BOUNDS._replace(places_max=2))
    two = [event("s1", second, course_id=f"c{second}") for second in range(2)]
    third = event("s1", 2, course_id="c2")
    batch = fold.fold(records([*two, third, event("s1", 3, course_id="c0"), event("s2", 3, course_id="c2")]))
    assert [(rejected.record.offset, rejected.reason) for rejected in batch.dead] == [(2, Reason.TOO_MANY_SCOPES)]
    assert batch.folded == 4
    tell(fold)
    later = [event("s1", 2 * 86_400, course_id="c3"), event("s1", 2 * 86_400 + 1, course_id="c4")]
    assert fold.fold(records(later, first_offset=5)).folded == 2, "what he has left behind makes room"


def test_the_largest_record_of_a_student_is_one_that_kafka_takes() -> None:
    """Of every bound the worst: the longest lateness, names of four bytes a character, every pane and kind in every
    place, and 65,535 events in each pane."""
    lateness_s = 10_800
    with pytest.raises(ValueError, match="lateness_s"):
        AggregateSettings(lateness_s=lateness_s + 1)
    settings = AggregateSettings(lateness_s=lateness_s)
    first = NOON_MS // PANE_MS
    panes = (lateness_s * 1000 + LONGEST_WINDOW_MS + settings.clock_skew_s * 1000) // PANE_MS + 2
    panes += 2 * AT_ONCE
    wide = "\N{PILE OF POO}" * (ID_MAX - 3)
    names = iter([f"{wide}{number:03}" for number in range(1_000)])

    def of_panes(numbers: range) -> dict[int, Counts]:
        return {first + pane: Counts(65_535, 65_535, 65_535) for pane in numbers}

    def place(number: int) -> Place:
        tasks = students.TASKS_MAX // students.PLACES_MAX // 3 + 1
        full = Day(
            first // 8_640, 2**32, 2**32, {kind.value: 2**32 - 1 for kind in Kind}, 2**32, 2**42, [2**32] * SCORE_BINS,
            {next(names): Task(2**32, True, 1_000, [NOON_MS] * 2 * students.RUNS_MAX) for _ in range(tasks)},
            2**32, 2**32, 2**32, 2**42, 2**32, 2**42,
        )  # fmt: skip
        stuck = Stuck(NOON_MS, [NOON_MS] * students.FAILURES_KEPT)
        return Place(
            f"{wide}{number:03}", f"{wide}{number:03}",
            of_panes(range(panes // 2)),
            tuple(Hour(first // 360 + hour, 2**32, 2**32, 2**32) for hour in range(5)),
            (full,) * 3,
            first, first, first, NOON_MS, NOON_MS,
            {f"{wide}{index:03}": stuck for index in range(students.STUCK_MAX)},
            rest(None, of_panes(range(panes // 2, panes))),
        )  # fmt: skip

    sessions = Sessions([NOON_MS] * 80, NOON_MS, NOON_MS, {first + day: [2**16, NOON_MS] for day in range(3)})
    places = tuple(place(number) for number in range(students.PLACES_MAX))
    record = len(msgspec.msgpack.encode(Student(7, 2**40, NOON_MS, places, sessions))) + 4 * ID_MAX  # its key
    batch_overhead = 1_000  # of Kafka: about 70 bytes, and headers, of which there are none
    assert record + batch_overhead < topics.load()["aggregate-students-changelog"].max_message_bytes <= 1_048_588


Said = dict[tuple[str, str, int], tuple[int, object]]  # scope, what, window → offset, value


def say(said: Said, heard: Iterable[Partial]) -> None:
    """What merge makes of partials: of each window the newest, by offset; an equal one says the same again."""
    for partial in heard:
        values: dict[tuple[str, int], object] = {
            **{("pane", pane): counts for pane, counts in partial.panes.items()},
            **{("hour", hour): counts for hour, counts in partial.hours.items()},
            **{("day", day): counts for day, counts in partial.days.items()},
            **({("now", 0): partial.now} if partial.now else {}),
        }
        for (what, number), value in values.items():
            key = (partial.scope, what, number)
            if partial.offset >= said.get(key, (-1, None))[0]:
                said[key] = (partial.offset, value)


class Disk:
    """What Kafka holds of a fold: what it has said, its students, event ids and marker."""

    def __init__(self) -> None:
        self.said: Said = {}
        self.students: dict[str, bytes] = {}
        self.ids: dict[str, bytes] = {}
        self.marker = msgspec.msgpack.encode(Marker(0))

    def restore(self, bounds: Bounds) -> Fold:
        held = {key: msgspec.msgpack.decode(value, type=Student) for key, value in self.students.items()}
        ids = {key: msgspec.msgpack.decode(value, type=SeenIds) for key, value in self.ids.items()}
        return Fold.restore(msgspec.msgpack.decode(self.marker, type=Marker), bounds, held, ids)

    def flush(self, fold: Fold, dies_at: str = "", lands: Callable[[str], bool] = lambda _: False) -> None:
        """As the stock transport writes it. Of the step it dies at a part has landed: the scopes or students that
        `lands` says; of those behind it nothing."""

        def landed(step: str, things: list[str]) -> list[str]:
            return things if dies_at != step else [thing for thing in things if lands(thing)]

        heard = {partial.scope: partials.decode(partials.encode(partial)) for partial in fold.partials()}
        fold.changed()
        said = [heard[scope] for scope in landed("partials", sorted(heard))]
        say(self.said, [partial for partial in said if isinstance(partial, Partial)])
        changes, ids = fold.changes(), fold.seen_ids()
        if dies_at == "partials":
            return
        for key in landed("students", sorted(key for key, of in changes.items() if of is not None)):
            self.students[key] = msgspec.msgpack.encode(changes[key])
        for key in landed("students", sorted(key for key, seen in ids.items() if seen is not None)):
            self.ids[key] = msgspec.msgpack.encode(ids[key])
        if dies_at == "students":
            return
        self.marker = msgspec.msgpack.encode(fold.marker)
        for key in landed("tombstones", sorted(key for key, of in changes.items() if of is None)):
            self.students.pop(key, None)
        for key in landed("tombstones", sorted(key for key, seen in ids.items() if seen is None)):
            self.ids.pop(key, None)


def eventful(
    rng: random.Random, number: int, jumps: Sequence[int] = (600, 3_590, 4_000, 86_400, 3 * 86_400), reuse: float = 0.1
) -> list[ActivityEvent]:
    """Out of order, some before midnight, with jumps in time, with retries, and ids used anew."""
    happened: list[ActivityEvent] = []
    now_s = rng.choice([0, 42_900])
    for index in range(number):
        if rng.random() < 0.2:
            now_s += rng.choice(jumps)
        roll = rng.random()
        if happened and roll < 0.3:
            happened.append(rng.choice(happened[-8:]))
            continue
        happened.append(
            event(
                f"s{rng.randrange(3)}",
                now_s + rng.randrange(-300, 300),
                rng.choice([Kind.CODE_RUN, Kind.HELP_REQUESTED, Kind.HELP_RESOLVED, Kind.HELP_RESOLVED]),
                event_id=rng.choice(happened).event_id if happened and roll < 0.3 + reuse else f"e{index}",
                course_id=rng.choice(["c0"] * 9 + ["c1", "c2"]),
                team_id=rng.choice([None, None, "t1"]),
                success=rng.choice([None, True, False]),
                task_id=rng.choice([None, "a", "b"]),
                score=rng.choice([None, 0.25, 1.0]),
            )
        )
    return happened


def in_peace(log: list[Message], bounds: Bounds = BOUNDS) -> Disk:
    disk = Disk()
    fold = disk.restore(bounds)
    for record in log:
        fold.fold([record])
        disk.flush(fold)
    return disk


def values(disk: Disk) -> dict[tuple[str, str, int], object]:
    """The newest of each window. Who was seen or failed is left out when time has gone over it since it was said."""
    now_ms = msgspec.msgpack.decode(disk.marker, type=Marker).event_time_ms
    head = now_ms // PANE_MS
    out: dict[tuple[str, str, int], object] = {}
    for key, (_, value) in disk.said.items():
        if isinstance(value, NowCounts):
            seen = {pane: number for pane, number in value.seen.items() if pane > head - PRESENT_PANES}
            failing = {pane: number for pane, number in value.struggling.items() if pane > head - STRUGGLING_PANES}
            waiting = {at_ms: number for at_ms, number in value.waiting.items() if at_ms > now_ms - HELP_OPEN_MS}
            value = NowCounts(seen, waiting, failing)
        out[key] = value
    return out


def test_a_retry_is_a_duplicate_again_when_the_batch_that_forgot_its_id_is_read_again() -> None:
    log = records([event("s1", 0), event("s1", 0), event("s2", 7200), event("s1", 7200)])
    killed = Disk()
    fold = killed.restore(BOUNDS)
    fold.fold(log[:3])
    killed.flush(fold, "students", lambda _: True)
    fold = killed.restore(BOUNDS)
    fold.fold(log)
    killed.flush(fold)
    assert values(killed) == values(in_peace(log))


def test_what_says_that_sums_are_not_complete_stays_until_they_are() -> None:
    #   offset    0        1        2        3          4        5       6
    #   student   s2       s1       s2       s2         s2       s2      s2
    #   time      23:50:00 23:59:00 23:59:30 00:10:00   23:59:05 5 days on
    #   life 1            |---------- only s1's record lands ----------| ✗   which has dropped his pane
    #   life 2            |-----------------|----------| ✗                   in which a day begins
    #   life 3                                         |----------------------|   must not say that pane without him
    midnight_s = 12 * 3600
    times = [-600, -60, -30, 600, -55, 5 * 86_400, 5 * 86_400]
    students_ = ["s2", "s1", "s2", "s2", "s2", "s2", "s2"]
    log = records(
        [
            event(of, midnight_s + at_s, event_id=f"e{n}")
            for n, (of, at_s) in enumerate(zip(students_, times, strict=True))
        ]
    )
    killed = Disk()
    fold = killed.restore(BOUNDS)
    fold.fold(log[:1])
    killed.flush(fold)
    fold.fold(log[1:6])
    killed.flush(fold, "students", lambda student: student == "s1")
    fold = killed.restore(BOUNDS)
    for batch in (log[1:3], log[3:4]):
        fold.fold(batch)
        killed.flush(fold)
    fold = killed.restore(BOUNDS)
    fold.fold(log[4:])
    killed.flush(fold)
    assert values(killed) == values(in_peace(log))


@given(seed=st.integers(0, 10**9))
def test_any_order_within_the_lateness_bound_adds_up_to_the_same(seed: int) -> None:
    rng = random.Random(seed)
    log = records(
        [event_ for event_ in eventful(rng, 40, jumps=(60, 300, 900), reuse=0) if event_.occurred_at_ms > NOON_MS]
    )
    now_ms = max((record.timestamp for record in log), default=0)
    shuffled = rng.sample(log, len(log))

    def added_up(order: list[Message]) -> dict[tuple[str, str, int], object]:
        disk = Disk()
        fold = disk.restore(BOUNDS._replace(lateness_ms=100 * 86_400_000))
        for offset, record in enumerate(order):
            fold.fold([record._replace(offset=offset, timestamp=now_ms)])
            if rng.random() < 0.2:
                disk.flush(fold)
        disk.flush(fold)
        return values(disk)

    assert added_up(shuffled) == added_up(log)


@pytest.mark.parametrize("bounds", [BOUNDS, BOUNDS._replace(ids_max=4, places_max=2)], ids=["wide", "narrow"])
@given(seed=st.integers(0, 10**9))
def test_what_is_folded_is_in_the_windows_and_what_is_lost_between_is_noticed(bounds: Bounds, seed: int) -> None:
    rng = random.Random(seed)
    log = records(eventful(rng, 40))
    disk = Disk()
    fold = disk.restore(bounds)
    while batch := log[fold.marker.offset + 1 :][: rng.randrange(1, 15)]:
        fold.fold(batch)
        disk.flush(fold)
        assert fold.adrift == 0
        if rng.random() < 0.2:
            fold = disk.restore(bounds)
            assert fold.adrift == 0

    now_s = log[-1].timestamp // 1000 - NOON_MS // 1000
    some = [event("lost", now_s, event_id=f"lost-{number}") for number in range(3)]
    fold.fold(records(some, first_offset=len(log)))
    disk.flush(fold)
    del disk.students["lost"]
    fold = disk.restore(bounds)
    fold.fold(records([event("other", now_s, event_id="other")], first_offset=len(log) + len(some)))
    disk.flush(fold)
    assert fold.adrift == len(some)


@pytest.mark.parametrize("bounds", [BOUNDS, BOUNDS._replace(ids_max=4, places_max=2)], ids=["wide", "narrow"])
@given(seed=st.integers(0, 10**9))
@settings(max_examples=400)
def test_killed_anywhere_and_replayed_it_says_what_it_would_have(bounds: Bounds, seed: int) -> None:
    """Each life goes on from what the one before left, in batches of its own, and dies in the middle of a flush. In the
    end what is said of each pane, day and help request equals what a life without a death has said."""
    rng = random.Random(seed)
    log = records(eventful(rng, 30))

    killed = Disk()
    for _ in range(rng.randrange(2, 8)):
        fold = killed.restore(bounds)
        for dies_at in [*[""] * rng.randrange(3), rng.choice(["partials", "students", "tombstones"])]:
            todo = log[fold.marker.offset + 1 :]
            if batch := todo[: rng.randrange(1, 15)]:
                fold.fold(batch)
                killed.flush(fold, dies_at, lambda _: rng.random() < rng.choice([0.2, 0.8]))
    fold = killed.restore(bounds)
    while batch := log[fold.marker.offset + 1 :][: rng.randrange(1, 15)]:
        fold.fold(batch)
        killed.flush(fold)
    assert values(killed) == values(in_peace(log, bounds))
