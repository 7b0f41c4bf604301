"""What is kept of one student: the only keyed aggregate an event changes. Pure.

A student's record carries the last source offset applied to it (`guard`), and the ids it has seen, so it settles by
itself whether it has an event already: a replay after a kill changes nothing.
"""

from collections.abc import Collection
from itertools import islice, takewhile
from typing import NamedTuple

import msgspec

from pipelines.aggregate.windows import DAY_MS, neighbours, pane_of
from wire.events import ActivityEvent, Kind
from wire.scopes import Scope

# A student is one record of a changelog, and one that Kafka would not take (1 MB) stops the partition for everybody. So
# both of its parts that a producer can make grow are bounded: a full record is about 600 KB, at the longest lateness
# that AggregateSettings takes (800 KB with every count as large as it gets).
IDS_MAX = 10_000  # 180 KB. A person's are 600 an hour: 10 a minute, each minute
SCOPES_MAX = 32  # himself, and 15 courses with a team in each


class Track(msgspec.Struct, array_like=True):
    """The student's part in one scope."""

    panes: dict[int, list[int]] = {}  # pane → [events, attempts, failures]
    days: dict[int, dict[str, int]] = {}  # epoch day → kind → events
    asked_ms: int = -1  # event time of the newest help request
    resolved_ms: int = -1  # event time of the newest resolution, or end of a session

    @property
    def waiting(self) -> bool:
        return self.asked_ms > self.resolved_ms

    def is_kept(self, first_day: int) -> bool:
        return self.waiting or any(day >= first_day for day in self.days)


class Student(msgspec.Struct, array_like=True):
    partition: int  # of `activity`: says which partition's state a record in the changelog belongs to
    guard: int = -1  # the last source offset applied
    complete_from_ms: int = 0  # nothing at or behind this event time has been dropped
    ids: dict[int, int] = {}  # 64-bit hash of an event id → event time, in the order they came: see `remember`
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


def knows(student: Student, id_: int, complete_from_ms: int) -> bool:
    """Whether he has the event already. An id whose event would be late by now counts as forgotten, dropped or not."""
    seen_ms = student.ids.get(id_)
    return seen_ms is not None and seen_ms >= complete_from_ms


def remember(student: Student, id_: int, time_ms: int, complete_from_ms: int, ids_max: int) -> int:
    """Takes in the id of an accepted event. Returns how many were forgotten for it that were not late yet.

    Ids are dropped from the front only, the oldest by arrival: the late ones whenever there is reason to look, and of
    more than `ids_max` the older half at once. What is left when the late front is thought away depends on the events
    alone, not on when it was looked: a replay in other batches forgets the same.
    """
    ids = student.ids
    ids.pop(id_, None)  # late by now, or he would know it; a new one goes to the end
    ids[id_] = time_ms
    if len(ids) <= ids_max:
        return 0
    _drop_late(ids, complete_from_ms)
    if len(ids) <= ids_max:
        return 0
    oldest = [ids.pop(id_) for id_ in list(islice(ids, len(ids) - ids_max // 2))]
    return sum(seen_ms >= complete_from_ms for seen_ms in oldest)


def _drop_late(ids: dict[int, int], complete_from_ms: int) -> None:
    for id_ in list(takewhile(lambda id_: ids[id_] < complete_from_ms, ids)):
        del ids[id_]


def has_room(student: Student, names: Collection[str], first_day: int, scopes_max: int) -> bool:
    """Whether an event in these scopes leaves him in no more than `scopes_max`, those without a kept day not counted.
    In a scope that he is in already there is always room."""
    if len(student.tracks) + len(names) <= scopes_max:
        return True
    kept = {scope for scope, track in student.tracks.items() if track.is_kept(first_day)}
    return kept.issuperset(names) or len(kept.union(names)) <= scopes_max


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
    _drop_late(student.ids, complete_from_ms)
    for track in student.tracks.values():
        if track.panes and min(track.panes) < first_pane:
            track.panes = {pane: counts for pane, counts in track.panes.items() if pane >= first_pane}
        if track.days and min(track.days) < first_day:
            track.days = {day: kinds for day, kinds in track.days.items() if day >= first_day}
    student.tracks = {scope: track for scope, track in student.tracks.items() if track.is_kept(first_day)}
