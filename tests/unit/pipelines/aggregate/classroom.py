"""What the tests of the aggregate share: events in a line of code, and a truth counted by other means."""

import copy
import random
from collections import Counter
from collections.abc import Container
from typing import Any

import msgspec

from pipelines.aggregate.fold import Bounds, Fold
from pipelines.aggregate.marker import Marker
from pipelines.aggregate.merge import Held, Merge, Window
from pipelines.records import Message
from wire import events, partials
from wire.events import ActivityEvent, Kind
from wire.metrics import Metric, MetricPoint
from wire.partials import Progress, Said

NOON_MS = 1_638_187_200_000  # 2021-11-29T12:00:00Z
BOUNDS = Bounds(lateness_ms=3_600_000, skew_ms=300_000)
GRACE_MS = 120_000

held_encode = msgspec.msgpack.Encoder().encode
held_decoder = msgspec.msgpack.Decoder(Held)


def event(student: str, at_s: float, kind: Kind = Kind.CODE_RUN, **fields: Any) -> ActivityEvent:
    """`at_s` is seconds after NOON_MS."""
    at_ms = NOON_MS + int(at_s * 1000)
    given: dict[str, Any] = {
        "event_id": f"{student}-{at_ms}-{kind}",
        "course_id": "py101",
        "received_at_ms": at_ms,
        "source": "test",
        **fields,
    }
    return ActivityEvent(student_id=student, kind=kind, occurred_at_ms=at_ms, **given)


def records(happened: list[ActivityEvent], first_offset: int = 0) -> list[Message]:
    """As the door would write them to one partition, in this order, the clock standing at the newest so far."""
    out, now_ms = [], 0
    for offset, one in enumerate(happened, first_offset):
        now_ms = max(now_ms, one.occurred_at_ms)
        out.append(Message(offset, now_ms, one.student_id.encode(), events.encode(one)))
    return out


def some_events(rng: random.Random, number: int, students: int = 5, span_s: int = 900) -> list[ActivityEvent]:
    kinds = [Kind.CODE_RUN, Kind.PAGE_VIEWED, Kind.HELP_REQUESTED, Kind.HELP_RESOLVED, Kind.VIDEO_PLAYED]
    return [
        event(
            f"s{rng.randrange(students)}",
            rng.randrange(span_s * 10) / 10,
            rng.choice(kinds),
            event_id=f"e{index}",
            team_id=rng.choice([None, "t1", "t1"]),
            success=rng.choice([None, True, False]),
        )
        for index in range(number)
    ]


class Pipeline:
    """Folds and one merge, as the worker strings them together."""

    def __init__(self, partitions: int = 1) -> None:
        self.folds = [new_fold(partition) for partition in range(partitions)]
        self.merge = Merge(0, range(partitions), BOUNDS.lateness_ms, GRACE_MS)
        self.stored: dict[Window, Held] = {}  # the changelog as committed
        self.points: dict[tuple[str, str, int], MetricPoint] = {}  # the newest of each
        self.told: list[tuple[str, MetricPoint]] = []

    def tell(self, wall_ms: int = 0, idle: Container[int] = ()) -> None:
        """What a tick does. `idle`: partitions of which it is known that nothing comes."""
        for fold in self.folds:
            marker = fold.marker
            said: list[Said] = [*fold.partials()]
            said.append(
                Progress(
                    partition=marker.partition,
                    offset=marker.offset,
                    event_time_ms=marker.event_time_ms,
                    idle=marker.partition in idle,
                )
            )
            for one in said:
                self.merge.apply(partials.decode(partials.encode(one)), wall_ms)
            fold.changed(), fold.changes(), fold.seen_ids()
        self.update()

    def update(self) -> None:
        for update in self.merge.updates():
            for point in update.points:
                self.told.append((update.scope, point))
                self.points[update.scope, point.field, point.start_ms] = point

    def commit(self, wall_ms: int = 0) -> dict[Window, Held | None]:
        """What a commit does, and it succeeds. Returns what it wrote."""
        self.merge.time.advance()
        self.update()
        changes = self.merge.changes(wall_ms)
        for window, held in changes.items():
            if held is None:
                self.stored.pop(window, None)
            else:
                self.stored[window] = held_decoder.decode(held_encode(held))
        return changes

    def pass_time(self, wall_ms: int) -> None:
        """Until the wall clock has carried told time on."""
        self.commit(wall_ms)
        self.commit(wall_ms)

    def restart_merge(self, wall_ms: int = 0) -> None:
        sources = range(len(self.folds))
        self.merge = Merge.restore(0, sources, BOUNDS.lateness_ms, GRACE_MS, copy.deepcopy(self.stored), wall_ms)

    def value(self, scope: str, metric: Metric, end_s: int, window_s: int) -> float:
        return self.points[scope, metric.value, NOON_MS + (end_s - window_s) * 1000].value


def new_fold(partition: int = 0, bounds: Bounds = BOUNDS) -> Fold:
    return Fold.restore(Marker(partition), bounds, {}, {})


def truth(happened: list[ActivityEvent], scope: str, start_ms: int, window_s: int) -> tuple[int, int, int, int]:
    """Events, distinct students, attempts, failures of a window, counted one by one."""
    inside = [
        one
        for one in happened
        if start_ms <= one.occurred_at_ms < start_ms + window_s * 1000
        and scope
        in (
            "school:all",
            f"course:{one.course_id}",
            f"team:{one.course_id}/{one.team_id}",
            f"student:{one.student_id}",
        )
    ]
    tried = Counter(one.success for one in inside)
    return len(inside), len({one.student_id for one in inside}), tried[True] + tried[False], tried[False]
