"""Panes that are laid to rest: nothing of them is lost, and nobody can tell whether they are."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate import panes, students
from pipelines.aggregate.compact import extended
from pipelines.aggregate.learners import Learner
from pipelines.aggregate.panes import AT_ONCE, Counts
from pipelines.aggregate.student_values import StudentView
from pipelines.aggregate.students import Place, Student
from pipelines.aggregate.windows import LONGEST_WINDOW_MS, MINUTE_PANES, PANE_MS
from wire.partials import DISTINCT_PANES

FIRST = 170_000_000


def some(rng: random.Random, number: int, span: int) -> dict[int, Counts]:
    return {
        FIRST + pane: Counts(rng.randrange(1, 300), rng.randrange(300), rng.randrange(300))
        for pane in rng.sample(range(span), number)
    }


def student(of: dict[int, Counts], at_ms: int) -> Student:
    """As settled at that time, with a lateness of 1 h."""
    out = Student(0, places=(Place("c", None, dict(of), newest_pane=max(of)),))
    students.settle(out, at_ms - 3_600_000, at_ms)
    return out


@given(parts=st.lists(st.lists(st.integers(0, 2**63), max_size=20), max_size=20))
def test_a_packed_list_grows_at_its_end(parts: list[list[int]]) -> None:
    packed = b""
    for part in parts:
        packed = extended(packed, part)
    assert (msgspec.msgpack.decode(packed) if parts else []) == [one for part in parts for one in part]


def test_what_rests_is_read_as_it_was_and_grows() -> None:
    rng = random.Random(1)
    of = some(rng, 200, 500)
    numbers = list(of)
    resting = None
    for first in range(0, len(numbers), 30):
        resting = panes.rest(resting, {number: of[number] for number in numbers[first : first + 30]})
        resting = panes.rest(resting, {})
    assert resting is not None
    assert (resting.first, resting.last) == (min(of), max(of))
    assert resting.read() == of
    later = resting.since(FIRST + 250)
    assert later is not None
    assert later.read() == {number: counts for number, counts in of.items() if number >= FIRST + 250}
    assert later.since(max(of) + 1) is None
    assert len(resting.packed) < 14 * len(of)


def test_panes_rest_behind_every_window_and_go_when_no_event_may_touch_them() -> None:
    of = {FIRST + pane: Counts(1) for pane in range(1_100)}
    now = FIRST + 1_000
    (place,) = student(of, now * PANE_MS).places
    longest = LONGEST_WINDOW_MS // PANE_MS
    assert min(place.panes) == now - longest
    assert min(place.whole()) == now - longest - 360
    students.settle(Student(0, places=(place,)), (now + AT_ONCE - 360) * PANE_MS, (now + AT_ONCE) * PANE_MS)
    assert min(place.panes) == now - longest
    assert min(place.whole()) == now - longest - 360
    students.settle(Student(0, places=(place,)), (now + AT_ONCE - 359) * PANE_MS, (now + AT_ONCE + 1) * PANE_MS)
    assert min(place.panes) == now - longest + AT_ONCE + 1
    assert min(place.whole()) == now - longest - 360 + AT_ONCE + 1


@pytest.mark.parametrize(("behind", "woken"), [(-1, True), (0, True), (1, False), (200, False)])
def test_an_event_wakes_them_where_it_lies_among_them(behind: int, woken: bool) -> None:
    of = {FIRST: Counts(1), FIRST + 10: Counts(2), FIRST + 300: Counts(3)}
    who = student(of, (FIRST + 301) * PANE_MS)
    (place,) = who.places
    assert place.panes == {FIRST + 300: Counts(3)}
    who.wake(FIRST + 10 + behind)
    assert (place.resting is None) == woken
    assert place.whole() == of
    assert place.panes == (of if woken else {FIRST + 300: Counts(3)})


def test_a_students_values_are_the_same_whether_they_rest_or_not() -> None:
    of = some(random.Random(2), 150, 300)
    awake = Learner("s", Student(0, places=(Place("c", None, dict(of), newest_pane=max(of)),)), 0)
    resting = Learner("s", student(of, (FIRST + 300) * PANE_MS), 0)
    assert resting.student.places[0].resting is not None
    for width in (MINUTE_PANES, DISTINCT_PANES):
        for last in range(FIRST - 5, FIRST + 340):
            assert StudentView(resting).window(last, width) == StudentView(awake).window(last, width)
    assert set(StudentView(resting).panes) == set(StudentView(awake).panes) == set(of)
