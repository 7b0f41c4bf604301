"""One scope as far as this process knows it, and how its viewers are told of it. Pure.

    scope   … 41 42 43 44 45          A at 44 is owed 45 as published
                 ▲     ▲              B at 41 is owed one frame: what changed after 41, offset 45, skipped 3
                 B     A

A frame is made when it is first owed, once for all, ready for the socket (`framing`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from msgspec import UNSET, Raw, UnsetType

from gateway.live import framing
from gateway.live.position import Metrics, Place, Position
from wire import frames
from wire.frames import Frame, Reason, Resumed, Snapshot, Stale, Update
from wire.metrics import MetricPoint

RECENT = 32  # updates given as published: at ten a second, who is more than 3 s behind wants the newest, not each
HELD_MAX = 1_000  # updates that may arrive while a scope is read, which takes milliseconds; past it, it is read again
MARK_EVERY_S = 1.0
MARKS_MAX = 60


class LiveScope:
    def __init__(
        self, name: str, stale_since_ms: int | None, changed: "Callable[[View], None]", *, ours: bool = False
    ) -> None:
        """`changed`: called for each view that has something to tell. `ours`: made in this process."""
        self.name = name
        self.ours = ours
        self.views: dict[Metrics, View] = {}
        self.held: list[tuple[Update, bytes]] | None = []  # until the next read's answer; None: updates are applied
        self.stale = None if stale_since_ms is None else _framed(Stale(scope=name, since_ms=stale_since_ms))
        self.generation = 0  # snapshots taken over; a viewer of an earlier one is owed this one. 0: nothing is known
        self.reason = Reason.NONE  # of this generation
        self.epoch = ""
        self.offset = 0
        self.values: dict[str, MetricPoint] = {}
        self.pipeline: Raw | UnsetType = UNSET
        self.changed: dict[str, int] = {}  # field → offset of its last change
        self.waiting: dict[Position, View] = {}  # for what they missed to be read
        self._read_for: dict[Position, View] = {}  # by the read under way
        self._changed = changed

    def snapshot(self, epoch: str, offset: int, points: Iterable[MetricPoint]) -> bool:
        """False: what was held does not follow on it."""
        held, self.held = self.held or [], None
        self.reason = Reason.EPOCH if self.epoch not in ("", epoch) else Reason.REREAD
        self.generation += 1
        self.stale = None
        self.epoch, self.offset = epoch, offset
        self.values = {point.field: point for point in points}
        self.changed = dict.fromkeys(self.values, offset)
        self._forget_waiting()
        for view in self.views.values():
            view.restart()
            self._changed(view)
        return all(self._apply(update, payload) for update, payload in held)

    def tell(self, update: Update, payload: bytes) -> None:
        """A scope that is ours: each update has the whole, so that the first is all there is."""
        if self.held is None:
            self._apply(update, payload)
        else:
            self.pipeline = update.pipeline
            self.snapshot(update.epoch, update.offset, update.values)

    def update(self, update: Update, payload: bytes) -> bool:
        if self.held is None:
            return self._apply(update, payload)
        if len(self.held) == HELD_MAX:
            return False
        self.held.append((update, payload))
        return True

    def wait(self, position: Position, view: "View") -> None:
        """For what he missed to be read; while Redis is away that is later asked again."""
        if self.stale is None and position not in self._read_for:
            self.waiting[position] = view

    def missing_after(self) -> int:
        """The offset after which the stream is to be read, for those who wait now."""
        self._read_for, self.waiting = self.waiting, {}
        return min(position.resume.offset for position in self._read_for if position.resume is not None)

    def missed(self, epoch: str, entries: Sequence[tuple[Update, bytes]]) -> bool:
        """That read's answer, without a gap. False: it is of another epoch than what is known."""
        waited, self._read_for = self._read_for, {}
        if epoch != self.epoch:
            return False
        begin = entries[0][0].offset if entries else self.offset + 1
        for position, view in waited.items():
            if position.resume is not None:
                first = position.resume.offset + 1
                if begin <= first:
                    new = [view.frame(*entry) for entry in entries[first - begin :] if entry[0].offset <= self.offset]
                    position.backlog, position.generation = deque(new), self.generation
                else:
                    position.resume, position.generation, position.reason = None, 0, Reason.TRIMMED
                self._changed(view)
        return True

    def lost(self, since_ms: int) -> None:
        self.held = []
        self._forget_waiting()
        if self.stale is None:
            self.stale = _framed(Stale(scope=self.name, since_ms=since_ms))
            for view in self.views.values():
                view.append(self.stale)
                self._changed(view)

    def _apply(self, update: Update, payload: bytes) -> bool:
        if update.epoch == self.epoch and update.offset <= self.offset:
            return True  # the snapshot has it
        # A scope without an epoch has never had a value: the first update of whichever epoch begins it.
        if update.offset != self.offset + 1 or self.epoch not in ("", update.epoch):
            return False
        self.epoch, self.offset, self.pipeline = update.epoch, update.offset, update.pipeline
        for point in update.values:
            self.values[point.field] = point
            self.changed[point.field] = update.offset
        for view in self.views.values():
            view.follow(update, payload)
            self._changed(view)
        return True

    def _forget_waiting(self) -> None:
        """They are judged again by what is known then."""
        self.waiting, self._read_for = {}, {}


class View:
    """A scope as those see it who asked for the same metrics of it.

    Those who keep up need no position of their own: they are where the view was when it was last told.
    """

    def __init__(self, scope: LiveScope, metrics: Metrics) -> None:
        self.scope = scope
        self.metrics = metrics
        self.viewers = 0
        self.kept_up = False  # by anybody
        self.fresh = b""  # frames not told yet, where somebody keeps up
        self.marks: deque[tuple[float, int]] = deque(maxlen=MARKS_MAX)  # when it was told, and up to which offset
        self._recent: deque[bytes] = deque(maxlen=RECENT)  # frames of the last offsets, without a gap
        self._made: dict[Reason | int, bytes] = {}  # frames of this state: snapshots, and folded by where they begin
        self._told = (scope.generation, scope.offset, scope.stale is not None)
        self._newest = 0.0, scope.offset  # when that was told

    def append(self, frame: bytes) -> None:
        if self.kept_up:
            self.fresh += frame

    def follow(self, update: Update, payload: bytes) -> None:
        frame = self.frame(update, payload)
        self._recent.append(frame)
        self._made.clear()
        self.append(frame)

    def restart(self) -> None:
        self._recent.clear()
        self._made.clear()
        self.marks.clear()
        self.fresh = b""
        if self.kept_up:
            self.append(self._snapshot(self.scope.reason if self._told[0] else Reason.NONE))

    def told(self, now_s: float) -> None:
        """Those who keep up have all there is."""
        self.fresh = b""
        told = self.scope.generation, self.scope.offset, self.scope.stale is not None
        if told == self._told:
            return
        offset = self.scope.offset
        if offset != self._told[1] and not (self.marks and now_s - self.marks[-1][0] < MARK_EVERY_S):
            self.marks.append((now_s, offset))
        self._told, self._newest = told, (now_s, offset)

    def told_s(self, offset: int) -> float:
        """When who has shown this offset had been told all he has shown; the newest to the tick, what is older to the
        mark before it. To the tick, because he says what he showed last and no more: a mark of another scope may lie
        between, and were it not covered, he would seem slow once nothing changes any more."""
        newest_s, newest = self._newest
        if offset >= newest:
            return newest_s
        return next((at_s for at_s, marked in reversed(self.marks) if marked <= offset), 0.0)

    def position(self) -> Position:
        """Of those who keep up, without what is fresh."""
        generation, offset, stale = self._told
        return Position(generation, offset, stale=stale)

    def frame(self, update: Update, payload: bytes) -> bytes:
        """An update, `payload` being how it was published."""
        if self.metrics is None:
            return framing.text(payload)
        values = [point for point in update.values if point.metric in self.metrics]
        return _framed(Update(scope=update.scope, epoch=update.epoch, offset=update.offset, values=values))

    def owed(self, position: Position) -> list[bytes]:
        """What brings the position up to now, or nearer to it; moves it there."""
        scope, owed = self.scope, []
        if position.resume is not None and scope.generation:
            owed += self._resume(position, position.resume)
        if position.resume is None:
            if position.generation != scope.generation:
                reason = position.reason or (scope.reason if position.generation else Reason.NONE)
                owed.append(self._snapshot(reason))
                position.generation, position.offset = scope.generation, scope.offset
                position.stale, position.backlog, position.reason = False, None, Reason.NONE
            elif position.backlog:
                piece = [position.backlog.popleft() for _ in range(min(RECENT, len(position.backlog)))]
                position.offset += len(piece)
                return owed + piece
            elif (behind := scope.offset - position.offset) > len(self._recent):
                owed.append(self._folded(position.offset))
            elif behind:
                owed.extend(islice(self._recent, len(self._recent) - behind, None))
            position.offset = scope.offset
        if scope.stale is not None and not position.stale:
            position.stale = True
            owed.append(scope.stale)
        return owed

    def _resume(self, position: Position, place: Place) -> list[bytes]:
        """Judges whether the viewer can go on from where he is, where that is known yet."""
        scope = self.scope
        scope.waiting.pop(position, None)
        behind = scope.offset - place.offset
        if place.epoch != scope.epoch and (place.epoch or place.offset):  # who has nothing begins any epoch
            position.reason = Reason.EPOCH
        elif behind < 0:
            position.reason = Reason.AHEAD
        elif behind <= len(self._recent) or (position.backlog is not None and position.generation == scope.generation):
            if position.generation != scope.generation:  # what was read is of an earlier life
                position.backlog = None
            position.generation, position.offset, position.resume = scope.generation, place.offset, None
            return [_framed(Resumed(scope=scope.name, epoch=place.epoch, offset=place.offset))]
        else:
            scope.wait(position, self)
            return []
        position.resume, position.generation = None, 0
        return []

    def _snapshot(self, reason: Reason) -> bytes:
        if reason not in self._made:
            scope, chosen = self.scope, self._chosen(self.scope.values.values())
            self._made[reason] = _framed(
                Snapshot(
                    scope=scope.name,
                    epoch=scope.epoch,
                    offset=scope.offset,
                    values=chosen,
                    reason=reason,
                    pipeline=scope.pipeline,
                )
            )
        return self._made[reason]

    def _folded(self, after: int) -> bytes:
        if after not in self._made:
            scope = self.scope
            changed = (point for field, point in scope.values.items() if scope.changed[field] > after)
            update = Update(
                scope=scope.name,
                epoch=scope.epoch,
                offset=scope.offset,
                values=self._chosen(changed),
                skipped=scope.offset - after - 1,
                pipeline=scope.pipeline,
            )
            self._made[after] = _framed(update)
        return self._made[after]

    def _chosen(self, points: Iterable[MetricPoint]) -> list[MetricPoint]:
        return [point for point in points if self.metrics is None or point.metric in self.metrics]


def _framed(frame: Frame) -> bytes:
    return framing.text(frames.encode(frame))
