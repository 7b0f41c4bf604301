"""A simulated lesson: what 153 students do, second by second. Pure: seeded, and time is an argument.

Lessons of 15 minutes: an explanation (videos and pages), an exercise that begins with a burst of runs, a round-up
(answers, messages, a lull). Some students are quick, most are steady, some struggle: they fail again and again on one
task, ask for help, wait, and are helped. Some drift away for minutes.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from producers.door import Event
from producers.school import Member
from wire.events import Kind

LESSON_S = 900
EXPLANATION_S = 180
EXERCISE_S = 540
BURST_S = 40  # after "now try it yourselves"
STEP_MS = 1000

# Events a second of one student, before scaling to the rate asked for; by phase of the lesson.
_PACE = {"explanation": 0.08, "burst": 0.6, "exercise": 0.2, "round-up": 0.1}
# Probability that a run succeeds, by how a student is getting on.
_SUCCEEDS = {"quick": 0.85, "steady": 0.65, "struggling": 0.2}
_MEAN_PACE = 0.17  # of the above over a lesson, breaks counted; only the scale of `rate` hangs on it


@dataclass
class _Student:
    member: Member
    temper: str
    rng: random.Random
    task: int = 1
    fails: int = 0  # in a row, on this task
    waiting_since_ms: int | None = None
    away_until_ms: int = 0


class Classroom:
    def __init__(self, members: list[Member], seed: int, rate: float) -> None:
        """`rate`: mean events a second of the whole class."""
        self._scale = rate / (_MEAN_PACE * len(members))
        self._students = []
        for member in members:
            rng = random.Random(f"{seed} {member.student_id}")  # noqa: S311 -- a simulation
            temper = rng.choices(["quick", "steady", "struggling"], [0.25, 0.6, 0.15])[0]
            self._students.append(_Student(member, temper, rng))

    def step(self, at_ms: int) -> list[Event]:
        """What happens in the second that begins at `at_ms` (epoch ms), in order of time. Seconds must not go back."""
        phase = _phase(at_ms // 1000 % LESSON_S)
        events = [event for student in self._students for event in self._acts(student, phase, at_ms)]
        return sorted(events, key=lambda event: event["occurred_at"])

    def _acts(self, student: _Student, phase: str, at_ms: int) -> Iterator[Event]:
        rng = student.rng
        if at_ms < student.away_until_ms:
            return
        if student.waiting_since_ms is not None:
            # Somebody comes by after one to five minutes, and what is explained is understood.
            if at_ms - student.waiting_since_ms > rng.uniform(60_000, 300_000):
                student.waiting_since_ms, student.fails = None, 0
                yield _event(student, Kind.HELP_RESOLVED, at_ms)
            return
        if rng.random() < 0.0005:
            student.away_until_ms = at_ms + rng.randrange(180_000, 600_000)
            return
        if rng.random() < _PACE[phase] * self._scale:
            yield from self._one(student, phase, at_ms + rng.randrange(STEP_MS))

    def _one(self, student: _Student, phase: str, at_ms: int) -> Iterator[Event]:
        rng = student.rng
        task = f"{student.member.course_id}-task-{student.task}"
        if phase == "explanation":
            kind = rng.choice([Kind.VIDEO_PLAYED, Kind.VIDEO_PAUSED, Kind.VIDEO_SEEKED, Kind.PAGE_VIEWED])
            yield _event(student, kind, at_ms)
        elif phase == "round-up" and rng.random() < 0.5:
            yield _event(student, rng.choice([Kind.MESSAGE_POSTED, Kind.PAGE_VIEWED]), at_ms)
        elif student.fails >= 4 and rng.random() < 0.4:
            student.waiting_since_ms = at_ms
            yield _event(student, Kind.HELP_REQUESTED, at_ms, task_id=task)
        elif student.fails == 0 and rng.random() < 0.2:
            yield _event(student, Kind.TASK_STARTED, at_ms, task_id=task)
        else:
            success = rng.random() < _SUCCEEDS[student.temper]
            kind = rng.choice([Kind.CODE_RUN, Kind.CELL_EXECUTED])
            seconds = round(rng.uniform(0.1, 8), 2)
            yield _event(student, kind, at_ms, task_id=task, success=success, duration_s=seconds)
            student.fails = 0 if success else student.fails + 1
            if success and rng.random() < 0.3:
                score = round(min(1.0, rng.betavariate(6, 2)), 2)
                yield _event(student, Kind.ANSWER_SUBMITTED, at_ms + 1, task_id=task, score=score, success=score >= 0.5)
                if score >= 0.5:
                    yield _event(student, Kind.TASK_COMPLETED, at_ms + 2, task_id=task)
                    student.task += 1


def _phase(second: int) -> str:
    if second < EXPLANATION_S:
        return "explanation"
    if second < EXPLANATION_S + BURST_S:
        return "burst"
    return "exercise" if second < EXPLANATION_S + EXERCISE_S else "round-up"


def _event(student: _Student, kind: Kind, at_ms: int, **fields: object) -> Event:
    return {
        "student_id": student.member.student_id,
        "course_id": student.member.course_id,
        "kind": kind.value,
        "occurred_at": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        **fields,
    }
