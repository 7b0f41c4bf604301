"""The fold of one partition: what counts, what does not, and that a replay changes nothing."""

import copy
import random

import msgspec
import pytest
from classroom import BOUNDS, NOON_MS, event, new_fold, records, some_events
from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate.fold import Fold, Marker, Record
from pipelines.aggregate.students import Student
from wire import events
from wire.dead_letters import Reason
from wire.events import Kind


def test_counts_an_event_in_the_students_the_courses_and_the_teams_scope() -> None:
    fold = new_fold()
    assert fold.fold(records([event("s1", 3, team_id="t1", success=False)])).folded == 1
    partials = {partial.scope: partial for partial in fold.partials()}
    assert set(partials) == {"student:s1", "course:py101", "team:py101/t1"}
    for partial in partials.values():
        (counts,) = partial.panes.values()
        assert (counts.events, counts.attempts, counts.failures, counts.gaps) == (1, 1, 1, {30: 1})
        assert list(partial.days.values()) == [{"code_run": 1}]


def test_the_same_event_id_of_a_student_counts_once_however_often_it_comes() -> None:
    fold = new_fold()
    one = event("s1", 3)
    assert fold.fold(records([one, one])).duplicate == 1
    fold.partials(), fold.changes()
    assert fold.fold(records([one], first_offset=2)).duplicate == 1
    assert fold.partials() == []


def test_an_event_behind_the_lateness_bound_is_late_and_a_second_replay_of_a_whole_file_changes_nothing() -> None:
    #   events   a at 0 h ...... b at 1 h ...... c at 2 h 30        bound 1 h behind the newest
    #   again    a: late         b: late         c: duplicate
    fold = new_fold()
    file = [event("s1", 0), event("s1", 3600), event("s1", 9000)]
    assert fold.fold(records(file)).folded == 3
    fold.partials(), fold.changes()
    again = fold.fold([r._replace(timestamp_ms=NOON_MS + 9_000_000) for r in records(file, first_offset=3)])
    assert (again.folded, len(again.late), again.duplicate) == (0, 2, 1)
    assert fold.partials() == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(0, NOON_MS, b"s1", None), Reason.NO_VALUE),
        (Record(0, NOON_MS, None, events.encode(event("s1", 0))), Reason.NO_KEY),
        (Record(0, NOON_MS, b"s1", b"\xff\xfe"), Reason.NOT_JSON),
        (Record(0, NOON_MS, b"s1", b"[" * 10_000), Reason.INVALID),
        (Record(0, NOON_MS, b"s1", b'{"event_id":1}'), Reason.INVALID),
        (Record(0, NOON_MS, b"s2", events.encode(event("s1", 0))), Reason.KEY_MISMATCH),
        (Record(0, NOON_MS, b"s1", events.encode(event("s1", 301))), Reason.FUTURE),
        (Record(0, NOON_MS, b"s1", events.encode(event("s1", -NOON_MS / 1000 - 1))), Reason.INVALID),
        (Record(0, NOON_MS, b"s1", events.encode(event("s1", 0)).replace(b'"success"', b'"kind"')), None),
    ],
)
def test_a_record_that_cannot_be_used_is_dead_with_its_reason_and_the_next_one_counts(
    record: Record, reason: Reason | None
) -> None:
    fold = new_fold()
    batch = fold.fold([record, *records([event("s9", 0)], first_offset=1)])
    assert [rejected.reason for rejected in batch.dead] == ([] if reason is None else [reason])
    assert batch.folded == (2 if reason is None else 1)


def test_a_clock_ahead_within_the_skew_does_not_make_others_late() -> None:
    fold = new_fold()
    ahead = events.encode(event("s1", 299))
    fold.fold([Record(0, NOON_MS, b"s1", ahead)])
    assert fold.marker.event_time_ms == NOON_MS


def test_help_is_open_until_it_is_resolved_or_the_session_ends_whatever_order_they_come_in() -> None:
    fold = new_fold()
    asked, resolved = event("s1", 0, Kind.HELP_REQUESTED), event("s1", 60, Kind.HELP_RESOLVED)
    gone, left = event("s2", 30, Kind.HELP_REQUESTED), event("s2", 90, Kind.SESSION_ENDED)
    fold.fold(records([asked]))
    assert {p.help_open for p in fold.partials()} == {1}
    fold.fold(records([resolved, left, gone], first_offset=1))
    assert {p.help_open for p in fold.partials()} == {0}


def test_students_of_whom_nothing_is_left_are_dropped() -> None:
    fold = new_fold()
    fold.fold(records([event("s1", 0), event("s2", 0, Kind.HELP_REQUESTED)]))
    fold.partials(), fold.changes()
    fold.fold(records([event("s3", 3 * 86_400)], first_offset=2))
    fold.partials()
    changes = fold.changes()
    assert changes["s1"] is None
    assert changes["s2"] is not None, "still waits for help"


def bytes_of(students: dict[str, Student | None]) -> dict[str, bytes | None]:
    return {key: None if of is None else msgspec.msgpack.encode(of) for key, of in students.items()}


@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 60), min_size=1, max_size=4), torn=st.data())
def test_killed_anywhere_and_replayed_it_publishes_what_it_would_have(
    seed: int, cuts: list[int], torn: st.DataObject
) -> None:
    """A life publishes its partials, writes some of its students, and dies before its marker; the next begins at the
    last marker. In the end the newest partial of each window equals that of a life without a death."""
    happened = some_events(random.Random(seed), 60, span_s=3 * 3600)
    log = records(happened)

    def newest(held: dict[tuple[str, int], tuple[int, object]], fold: Fold) -> None:
        for partial in fold.partials():
            for pane, counts in partial.panes.items():
                if partial.offset >= held.get((partial.scope, pane), (-1, None))[0]:
                    held[partial.scope, pane] = (partial.offset, copy.deepcopy(counts))

    calm: dict[tuple[str, int], tuple[int, object]] = {}
    fold = new_fold()
    for record in log:
        fold.fold([record])
        newest(calm, fold)
        fold.changes()

    stored: dict[str, bytes] = {}
    marker = Marker(0)
    killed: dict[tuple[str, int], tuple[int, object]] = {}
    for cut in [*cuts, None]:
        students = {key: msgspec.msgpack.decode(value, type=Student) for key, value in stored.items()}
        fold = Fold.restore(copy.copy(marker), BOUNDS, students)
        todo = log[marker.offset + 1 :]
        for batch in [todo] if cut is None else [todo[: cut // 2], todo[cut // 2 : cut]]:
            fold.fold(batch)
            newest(killed, fold)
            changes = bytes_of(fold.changes())
            dies = cut is not None and batch is not todo[: cut // 2] and batch != todo[: cut // 2]
            written = torn.draw(st.sets(st.sampled_from(sorted(changes)))) if dies and changes else set(changes)
            for key in written:
                value = changes[key]
                if value is None:
                    stored.pop(key, None)
                else:
                    stored[key] = value
            if not dies:
                marker = copy.copy(fold.marker)
    assert {key: counts for key, (_, counts) in killed.items()} == {key: counts for key, (_, counts) in calm.items()}
