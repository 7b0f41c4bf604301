"""What is kept of one student: the only keyed aggregate an event changes. Pure.

A student's record carries the last source offset applied to it (`guard`), and the ids it has seen, so it settles by
itself whether it has an event already: a replay after a kill changes nothing.
"""

from typing import NamedTuple

import msgspec

from pipelines.aggregate.windows import DAY_MS, neighbours, pane_of
from wire.events import ActivityEvent, Kind
from wire.scopes import Scope


class Track(msgspec.Struct, array_like=True):
    """The student's part in one scope."""

    panes: dict[int, list[int]] = {}  # pane → [events, attempts, failures]
    days: dict[int, dict[str, int]] = {}  # epoch day → kind → events
    asked_ms: int = -1  # event time of the newest help request
    resolved_ms: int = -1  # event time of the newest resolution, or end of a session

    @property
    def waiting(self) -> bool:
        return self.asked_ms > self.resolved_ms


class Student(msgspec.Struct, array_like=True):
    partition: int  # of `activity`: says which partition's state a record in the changelog belongs to
    guard: int = -1  # the last source offset applied
    complete_from_ms: int = 0  # nothing at or behind this event time has been dropped
    ids: dict[int, int] = {}  # 64-bit hash of an event id → event time; as long as the event would not be late
    tracks: dict[str, Track] = {}  # scope text → Track


class Change(NamedTuple):
    """What one event changed in one scope."""

    scope: str
    pane: int
    new: bool  # the student was not active in this pane before
    before: int | None  # his neighbouring active panes, where the pane is new
    behind: int | None
    attempt: int
    failure: int
    day: int
    kind: str
    waiting: int  # +1 began to wait for help, -1 waits no longer


def scopes(event: ActivityEvent) -> list[str]:
    """The scopes an event counts in."""
    names = [str(Scope.student(event.student_id)), str(Scope.course(event.course_id))]
    if event.team_id is not None:
        names.append(str(Scope.team(event.course_id, event.team_id)))
    return names


def apply(track: Track, scope: str, event: ActivityEvent) -> Change:
    """Counts the event in the track, and says what that changed."""
    pane, day = pane_of(event.occurred_at_ms), event.occurred_at_ms // DAY_MS
    attempt, failure = int(event.success is not None), int(event.success is False)
    before = behind = None
    if new := pane not in track.panes:
        before, behind = neighbours(track.panes, pane)
        track.panes[pane] = [0, 0, 0]
    counts = track.panes[pane]
    counts[0] += 1
    counts[1] += attempt
    counts[2] += failure
    kinds = track.days.setdefault(day, {})
    kinds[event.kind] = kinds.get(event.kind, 0) + 1
    waited = track.waiting
    if event.kind is Kind.HELP_REQUESTED:
        track.asked_ms = max(track.asked_ms, event.occurred_at_ms)
    elif event.kind in (Kind.HELP_RESOLVED, Kind.SESSION_ENDED):
        track.resolved_ms = max(track.resolved_ms, event.occurred_at_ms)
    return Change(
        scope, pane, new, before, behind, attempt, failure, day, event.kind.value, int(track.waiting) - int(waited)
    )


def prune(student: Student, complete_from_ms: int, keep_from_ms: int) -> None:
    """Drops what no accepted event can change any more. `keep_from_ms` lies a longest window before
    `complete_from_ms`, so that the gaps of what is still counted can be told."""
    student.complete_from_ms = max(student.complete_from_ms, complete_from_ms)
    first_pane, first_day = pane_of(keep_from_ms), keep_from_ms // DAY_MS
    student.ids = {id_: time for id_, time in student.ids.items() if time >= complete_from_ms}
    for track in student.tracks.values():
        if track.panes and min(track.panes) < first_pane:
            track.panes = {pane: counts for pane, counts in track.panes.items() if pane >= first_pane}
        if track.days and min(track.days) < first_day:
            track.days = {day: kinds for day, kinds in track.days.items() if day >= first_day}
