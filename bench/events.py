"""Seeded events of N students, as bytes. The same seed gives the same events, except for the times asked for. Pure."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from wire.events import ActivityEvent, Kind, encode

SEED = 7
START_MS = 1_700_000_000_000  # long ago, so that no client takes them for the future
_KINDS = ("page_viewed", "video_played", "video_paused", "answer_submitted", "message_posted", "task_started")
_COURSES = 40
_TEAMS = 10


class Sent(NamedTuple):
    key: bytes
    value: bytes
    at_ms: int


def plain(number: int, students: int, span_s: float = 60.0) -> Iterator[Sent]:
    """200 bytes of JSON each, in order of time, evenly spread over `span_s` from START_MS."""
    rng = random.Random(SEED)  # noqa: S311 - a simulation
    draw, bits = rng.random, rng.getrandbits
    step_ms = span_s * 1000 / number
    for index in range(number):
        student = f"s{int(draw() * students):07d}"
        at_ms = START_MS + int(index * step_ms)
        salt = bits(32)
        value = (
            f'{{"event_id":"{index:012d}","student_id":"{student}","course_id":"c{salt % _COURSES:03d}",'
            f'"kind":"{_KINDS[salt % 6]}","at_ms":{at_ms},"duration_s":{salt % 9000 / 100:.2f},"score":{salt % 100},'
            f'"session":"{salt:08x}","agent":"web-chrome","locale":"en-US"}}'
        )
        yield Sent(student.encode(), value.encode(), at_ms)


def real(
    number: int, students: int, from_ms: int, span_s: float, run: str = "bench", school: str = ""
) -> Iterator[Sent]:
    """What the gateway would write: `wire.events`, of students who each keep to one course and team.

    `run` keeps the ids of different runs apart: an id counts once. Their students are others too, unless they are of
    one `school`.
    """
    rng = random.Random(SEED)  # noqa: S311 - a simulation
    step_ms = span_s * 1000 / number
    for index in range(number):
        student = int(rng.random() * students)
        at_ms = from_ms + int(index * step_ms)
        yield one(f"{run}-{index:010d}", f"{school or run}-{student:07d}", student, at_ms)


def all_of(students: int, each: int, from_ms: int, span_s: float, run: str) -> Iterator[Sent]:
    """The same of every student, one after the other, `each` times; with the ids that `bench.load --name RUN` goes on
    with."""
    number = students * each
    for index in range(number):
        student = index % students
        at_ms = from_ms + int(span_s * 1000 * index / number)
        yield one(f"{run}-first-{index:010d}", f"{run}-{student:07d}", student, at_ms)


def one(event_id: str, student_id: str, student: int, at_ms: int) -> Sent:
    """`student` says which course and team."""
    event = ActivityEvent(
        event_id=event_id,
        student_id=student_id,
        course_id=f"c{student % _COURSES:03d}",
        team_id=f"t{student // _COURSES % _TEAMS}",
        kind=Kind.CODE_RUN if student % 2 else Kind.PAGE_VIEWED,
        success=bool(student % 3) if student % 2 else None,
        occurred_at_ms=at_ms,
        received_at_ms=at_ms,
        source="bench",
    )
    return Sent(student_id.encode(), encode(event), at_ms)
