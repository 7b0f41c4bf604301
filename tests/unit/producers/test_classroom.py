"""The simulated lesson: the same for the same seed, as busy as asked, and with the moments a teacher looks for."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.classroom import BURST_S, EXERCISE_S, EXPLANATION_S, LESSON_S, Classroom
from producers.door import Event
from producers.school import Member, roster
from wire import events
from wire.events import ActivityEvent, Kind

MEMBERS = list(roster(153))
LESSON_MS = 1_768_471_200_000 // (LESSON_S * 1000) * LESSON_S * 1000  # a lesson begins


def happened_ms(event: Event) -> int:
    return round(datetime.fromisoformat(event["occurred_at"]).timestamp() * 1000)


def taught(seed: int, rate: float, seconds: int, members: list[Member] = MEMBERS) -> Iterator[tuple[int, list[Event]]]:
    """Second within the lesson, and what happened in it."""
    classroom = Classroom(members, seed, rate)
    for second in range(seconds):
        yield second, classroom.step(LESSON_MS + second * 1000)


def lesson(seed: int, rate: float = 20.0, seconds: int = LESSON_S) -> list[Event]:
    return [event for _, events_ in taught(seed, rate, seconds) for event in events_]


def test_the_same_seed_teaches_the_same_lesson_and_another_seed_another() -> None:
    assert lesson(1, seconds=120) == lesson(1, seconds=120)
    assert lesson(1, seconds=120) != lesson(2, seconds=120)


def test_who_a_student_is_hangs_on_nobody_else() -> None:
    alone = Classroom(MEMBERS[:1], 1, 20.0 / len(MEMBERS))
    together = Classroom(MEMBERS, 1, 20.0)
    for second in range(300):
        at_ms = LESSON_MS + second * 1000
        of_all = [event for event in together.step(at_ms) if event["student_id"] == MEMBERS[0].student_id]
        assert alone.step(at_ms) == of_all


@pytest.mark.parametrize("rate", [2.0, 20.0])
def test_over_lessons_the_mean_rate_is_near_the_one_asked_for(rate: float) -> None:
    seconds = 4 * LESSON_S
    assert len(lesson(153, rate, seconds)) / seconds == pytest.approx(rate, rel=0.25)


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), rate=st.floats(0.5, 200), members=st.integers(1, 20))
def test_what_happens_is_in_its_second_in_order_and_fit_for_the_wire(seed: int, rate: float, members: int) -> None:
    for second, events_ in taught(seed, rate, 260, MEMBERS[:members]):
        times = [happened_ms(event) for event in events_]
        assert times == sorted(times)
        # An answer and a task's end follow within milliseconds, over the second's edge at most.
        assert all(0 <= at - LESSON_MS - second * 1000 < 1003 for at in times)
        for event in events_:
            assert "event_id" not in event, "a second run of the same seed is not the same activity: the door names it"
            msgspec.convert(
                {
                    **event,
                    "event_id": "made at the door",
                    "occurred_at_ms": happened_ms(event),
                    "received_at_ms": 0,
                    "source": "demo",
                },
                ActivityEvent,
            )
        assert {event["course_id"] for event in events_} <= {member.course_id for member in MEMBERS[:members]}


def test_a_lesson_has_the_kinds_that_the_numbers_are_made_of() -> None:
    kinds = Counter(event["kind"] for event in lesson(153, seconds=2 * LESSON_S))
    for kind in (
        Kind.VIDEO_PLAYED, Kind.PAGE_VIEWED, Kind.TASK_STARTED, Kind.CODE_RUN, Kind.CELL_EXECUTED,
        Kind.ANSWER_SUBMITTED, Kind.TASK_COMPLETED, Kind.HELP_REQUESTED, Kind.HELP_RESOLVED, Kind.MESSAGE_POSTED,
    ):  # fmt: skip
        assert kinds[kind], kind
    assert set(kinds) <= set(events.Kind)


def test_an_exercise_begins_with_a_burst() -> None:
    per_second = Counter((happened_ms(event) - LESSON_MS) // 1000 for event in lesson(153))

    def rate(first: int, last: int) -> float:
        return sum(per_second[second] for second in range(first, last)) / (last - first)

    burst = rate(EXPLANATION_S, EXPLANATION_S + BURST_S)
    assert burst > 2 * rate(EXPLANATION_S + BURST_S, EXPLANATION_S + EXERCISE_S)
    assert burst > 4 * rate(0, EXPLANATION_S)


def test_who_fails_again_and_again_asks_for_help_waits_for_minutes_and_is_helped() -> None:
    by_student: dict[str, list[Event]] = defaultdict(list)
    for event in lesson(153, seconds=4 * LESSON_S):
        by_student[event["student_id"]].append(event)
    waited_s = []
    for events_ in by_student.values():
        asked_ms: int | None = None
        fails = 0
        for event in events_:
            if asked_ms is not None:  # nothing but being helped comes next
                assert event["kind"] == Kind.HELP_RESOLVED
                waited_s.append((happened_ms(event) - asked_ms) / 1000)
                asked_ms, fails = None, 0
            elif event["kind"] == Kind.HELP_REQUESTED:
                assert fails >= 4
                asked_ms = happened_ms(event)
            elif event["kind"] in (Kind.CODE_RUN, Kind.CELL_EXECUTED):
                fails = 0 if event["success"] else fails + 1
    assert len(waited_s) > 10
    assert all(58 <= waited <= 302 for waited in waited_s)


def test_students_differ_and_some_drift_away_for_minutes() -> None:
    runs: dict[str, list[bool]] = defaultdict(list)
    times: dict[str, list[int]] = defaultdict(list)
    for event in lesson(153, seconds=4 * LESSON_S):
        times[event["student_id"]].append(happened_ms(event))
        if event["kind"] in (Kind.CODE_RUN, Kind.CELL_EXECUTED):
            runs[event["student_id"]].append(event["success"])
    rates = [sum(of_one) / len(of_one) for of_one in runs.values() if len(of_one) >= 30]
    assert max(rates) > 0.75
    assert min(rates) < 0.35
    gaps = [later - earlier for of_one in times.values() for earlier, later in itertools.pairwise(of_one)]
    assert sum(gap > 180_000 for gap in gaps) > 20
