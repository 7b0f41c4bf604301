"""Who watches what, and which frames each is owed. Pure: no I/O, no clock, no tasks.

A viewer has no queue. He has a position in each of his scopes, and what he is owed is made from the scope when he can
take it: the frames as they were published while he keeps up, one folded frame with the newest value of each key once he
does not. So a slow viewer costs no more memory than a fast one, and those who are equally far behind share one frame.

    scope   … 41 42 43 44 45          A at 44 is owed 45 as published
                 ▲     ▲              B at 41 is owed one frame: what changed after 41, offset 45, skipped 3
                 B     A
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from wire import frames
from wire.frames import Snapshot, Stale, Update
from wire.metrics import MetricPoint

RECENT = 32  # updates given as published: at ten a second, who is more than 3 s behind wants the newest, not each
HELD_MAX = 1_000  # updates that may arrive while a scope is read, which takes milliseconds; past it, it is read again


class FanOut:
    """The scopes somebody watches. Each is read whole once its subscription stands, and again whenever an update does
    not follow on what is known: `hold` before a read is asked for, `snapshot` with its answer. Whatever was received
    before a read was asked for is in its answer, so only what arrives during the read is held."""

    def __init__(self) -> None:
        self._scopes: dict[str, _Scope] = {}
        self._viewers: set[Viewer] = set()

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    @property
    def scopes(self) -> set[str]:
        return set(self._scopes)

    def join(self, scopes: Sequence[str], wake: Callable[[], None], stale_since_ms: int | None = None) -> "Viewer":
        """`wake` is called whenever the viewer may have something to take. `stale_since_ms`: the source is away."""
        watched = []
        for name in dict.fromkeys(scopes):
            scope = self._scopes.get(name)
            if scope is None:
                scope = self._scopes[name] = _Scope(name, stale_since_ms)
            watched.append(scope)
        viewer = Viewer(watched, wake)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: "Viewer") -> None:
        """A scope is forgotten with its last viewer."""
        self._viewers.discard(viewer)
        for scope in viewer.leave():
            if not scope.viewers and self._scopes.get(scope.name) is scope:
                del self._scopes[scope.name]

    def hold(self, name: str) -> None:
        """A read of the scope is about to be asked for."""
        if scope := self._scopes.get(name):
            scope.held = []

    def snapshot(self, name: str, epoch: str, offset: int, points: Iterable[MetricPoint]) -> bool:
        """The answer to a read. False: what was held does not follow on it, so the scope must be read again."""
        scope = self._scopes.get(name)
        return scope is None or scope.snapshot(epoch, offset, points)

    def update(self, name: str, update: Update, text: str) -> bool:
        """An update as it was published, `text` being its frame. False: it does not follow on what is known."""
        scope = self._scopes.get(name)
        return scope is None or scope.update(update, text)

    def lost(self, since_ms: int) -> None:
        """The source is away. What is known stays, as of `since_ms`, until each scope's next snapshot."""
        for scope in self._scopes.values():
            scope.lost(since_ms)


class Viewer:
    """One connection. Taking is giving: a frame taken must be sent, in order, or the viewer must leave."""

    def __init__(self, scopes: "Sequence[_Scope]", wake: Callable[[], None]) -> None:
        self._wake = wake
        self._positions = {scope: _Position() for scope in scopes}
        self._owed = dict.fromkeys(scopes)  # in the order in which they changed, so that each has its turn
        for scope in scopes:
            scope.viewers.add(self)
        wake()

    def owe(self, scope: "_Scope") -> None:
        self._owed[scope] = None
        self._wake()

    def take(self) -> list[str]:
        """The frames owed of one scope; empty where nothing is owed at all."""
        while self._owed:
            scope = next(iter(self._owed))
            del self._owed[scope]
            if texts := scope.owed(self._positions[scope]):
                return texts
        return []

    def leave(self) -> "list[_Scope]":
        self._owed.clear()
        for scope in self._positions:
            scope.viewers.discard(self)
        return list(self._positions)


class _Position:
    """How far a viewer is in one scope."""

    __slots__ = ("generation", "offset", "told_stale")

    def __init__(self) -> None:
        self.generation = 0
        self.offset = 0
        self.told_stale = False


class _Scope:
    """One scope as far as this process knows it. Its frames are encoded when first owed, once for all."""

    def __init__(self, name: str, stale_since_ms: int | None) -> None:
        self.name = name
        self.viewers: set[Viewer] = set()
        self.held: list[tuple[Update, str]] | None = []  # until the next read's answer; None: updates are applied
        self._stale = None if stale_since_ms is None else _stale_frame(name, stale_since_ms)
        self._generation = 0  # snapshots taken over; a viewer of an earlier one is owed this one. 0: nothing is known
        self._epoch = ""
        self._offset = 0
        self._values: dict[str, MetricPoint] = {}
        self._changed: dict[str, int] = {}  # field → offset of its last change
        self._recent: deque[str] = deque(maxlen=RECENT)  # frames of the last offsets, without a gap
        self._made: dict[
            int | None, str
        ] = {}  # frames of this state: a snapshot under None, folded by where they begin

    def snapshot(self, epoch: str, offset: int, points: Iterable[MetricPoint]) -> bool:
        held, self.held = self.held or [], None
        self._generation += 1
        self._stale = None
        self._epoch, self._offset = epoch, offset
        self._values = {point.field: point for point in points}
        self._changed = dict.fromkeys(self._values, offset)
        self._recent.clear()
        self._made.clear()
        self._tell()
        return all(self._apply(update, text) for update, text in held)

    def update(self, update: Update, text: str) -> bool:
        if self.held is None:
            return self._apply(update, text)
        if len(self.held) == HELD_MAX:
            return False
        self.held.append((update, text))
        return True

    def lost(self, since_ms: int) -> None:
        self.held = []
        if self._stale is None:
            self._stale = _stale_frame(self.name, since_ms)
            self._tell()

    def owed(self, position: _Position) -> list[str]:
        """What brings the position up to now; moves it there."""
        texts: list[str] = []
        if position.generation != self._generation:
            position.generation = self._generation
            position.told_stale = False
            texts.append(self._snapshot_frame())
        elif (behind := self._offset - position.offset) > len(self._recent):
            texts.append(self._folded_frame(position.offset))
        elif behind:
            texts.extend(islice(self._recent, len(self._recent) - behind, None))
        position.offset = self._offset
        if self._stale is not None and not position.told_stale:
            position.told_stale = True
            texts.append(self._stale)
        return texts

    def _apply(self, update: Update, text: str) -> bool:
        if update.epoch == self._epoch and update.offset <= self._offset:
            return True  # the snapshot has it
        # A scope without an epoch has never had a value: the first update of whichever epoch begins it.
        if update.offset != self._offset + 1 or self._epoch not in ("", update.epoch):
            return False
        self._epoch, self._offset = update.epoch, update.offset
        for point in update.values:
            self._values[point.field] = point
            self._changed[point.field] = update.offset
        self._recent.append(text)
        self._made.clear()
        self._tell()
        return True

    def _tell(self) -> None:
        for viewer in self.viewers:
            viewer.owe(self)

    def _snapshot_frame(self) -> str:
        if None not in self._made:
            values = list(self._values.values())
            frame = Snapshot(scope=self.name, epoch=self._epoch, offset=self._offset, values=values)
            self._made[None] = frames.encode(frame).decode()
        return self._made[None]

    def _folded_frame(self, after: int) -> str:
        if after not in self._made:
            values = [point for field, point in self._values.items() if self._changed[field] > after]
            skipped = self._offset - after - 1
            frame = Update(scope=self.name, epoch=self._epoch, offset=self._offset, values=values, skipped=skipped)
            self._made[after] = frames.encode(frame).decode()
        return self._made[after]


def _stale_frame(scope: str, since_ms: int) -> str:
    return frames.encode(Stale(scope=scope, since_ms=since_ms)).decode()
