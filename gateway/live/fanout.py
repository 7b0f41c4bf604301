"""Who watches what, and which frames each is given. No I/O but through the viewers' outlets, no clock, no tasks.

Viewers who keep up are in a group with those who watch the same: what is fresh is joined once for the group, and
written to each as it is. Nothing is kept for them. One whose outlet is full falls behind: he gets a position in each of
his scopes, and once there is room again what he is owed is made from the scope (`scope.View.owed`): what was published
while he is near, one folded frame with the newest of each value once he is not. So a slow viewer costs a few numbers,
and those who are equally far behind share one frame. When he has all there is he is back in his group.
"""

from collections.abc import Callable, Iterable, Sequence

from gateway.live.groups import Groups
from gateway.live.position import Metrics, Place, Position
from gateway.live.scope import LiveScope, View
from gateway.live.viewer import Outlet, Viewer
from wire.frames import Update
from wire.metrics import MetricPoint

PIECE_BYTES = 16_384  # written to somebody who was behind before it is asked whether there is room for more


class FanOut:
    """The scopes somebody watches. Each is read whole once its subscription stands, and again whenever an update does
    not follow on what is known: `hold` before a read is asked for, `snapshot` with its answer. Whatever was received
    before a read was asked for is in its answer, so only what arrives during the read is held."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called whenever there may be something to `flush`."""
        self.changed = changed
        self._scopes: dict[str, LiveScope] = {}
        self._groups = Groups()
        self._viewers: set[Viewer] = set()
        self._behind: dict[Viewer, None] = {}
        self._dirty: dict[View, None] = {}
        self.deliveries = 0  # writes to viewers, ever

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    @property
    def scopes(self) -> set[str]:
        """That are read from the source."""
        return {name for name, scope in self._scopes.items() if not scope.ours}

    def watches(self, name: str) -> bool:
        return name in self._scopes

    @property
    def behind(self) -> list[Viewer]:
        """Who has not been given all there is."""
        return list(self._behind)

    def watching(self) -> dict[str, int]:
        """Scope → how many watch it."""
        return {name: self.watching_scope(name) for name in self._scopes}

    def watching_scope(self, name: str) -> int:
        """How many watch it."""
        scope = self._scopes.get(name)
        return 0 if scope is None else sum(view.viewers for view in scope.views.values())

    # --- viewers ---

    def join(self, outlet: Outlet, now_s: float) -> Viewer:
        viewer = Viewer(outlet, now_s)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A scope is forgotten with its last viewer."""
        for name in list(viewer.views):
            self.unsubscribe(viewer, name)
        self._step_out(viewer)
        self._behind.pop(viewer, None)
        self._viewers.discard(viewer)

    def subscribe(
        self,
        viewer: Viewer,
        name: str,
        now_s: float,
        *,
        metrics: Metrics = None,
        place: Place | None = None,
        stale_since_ms: int | None = None,
        ours: bool = False,
    ) -> bool:
        """Whether the scope is new here. `stale_since_ms`: the source is away. `ours`: it is not from the source."""
        self.unsubscribe(viewer, name)
        new = name not in self._scopes
        if new:
            self._scopes[name] = LiveScope(name, stale_since_ms, self._mark, ours=ours)
        scope = self._scopes[name]
        view = scope.views.get(metrics)
        if view is None:
            view = scope.views[metrics] = View(scope, metrics)
        view.viewers += 1
        self._step_out(viewer)
        viewer.views[name] = view
        viewer.positions[view] = Position(0, 0, stale=False, resume=place)
        viewer.read_s = now_s
        return new

    def unsubscribe(self, viewer: Viewer, name: str) -> None:
        if (view := viewer.views.get(name)) is None:
            return
        self._step_out(viewer)
        del viewer.views[name]
        position = viewer.positions.pop(view)
        scope = view.scope
        scope.waiting.pop(position, None)
        view.viewers -= 1
        if not view.viewers:
            del scope.views[view.metrics]
            self._dirty.pop(view, None)
        if not scope.views:
            del self._scopes[name]

    def acknowledge(self, viewer: Viewer, name: str, offset: int) -> None:
        """He has shown this, and so read all that was written before it."""
        if (view := viewer.views.get(name)) is not None:
            viewer.read_s = max(viewer.read_s, view.told_s(offset))

    def late(self, before_s: float, pending_max: int) -> list[Viewer]:
        """Who has not read what was told before then, or has too much lying before him."""
        told_s = {
            view: max((at_s for at_s, _ in view.marks if at_s <= before_s), default=0.0)
            for scope in self._scopes.values()
            for view in scope.views.values()
        }
        late = [
            viewer
            for group in self._groups
            for due_s in [max((told_s[view] for view in group.views), default=0.0)]
            for viewer in group.viewers
            if viewer.read_s < due_s or viewer.outlet.pending > pending_max
        ]
        return late + [
            viewer
            for viewer in self._behind
            if viewer.outlet.pending > pending_max
            or any(told_s[view] > viewer.read_s for view in viewer.views.values())
        ]

    # --- the source ---

    def hold(self, name: str) -> None:
        """A read of the scope is about to be asked for."""
        if scope := self._scopes.get(name):
            scope.held = []

    def snapshot(self, name: str, epoch: str, offset: int, points: Iterable[MetricPoint]) -> bool:
        """The answer to a read. False: what was held does not follow on it, so the scope must be read again."""
        scope = self._scopes.get(name)
        return scope is None or scope.snapshot(epoch, offset, points)

    def update(self, name: str, update: Update, payload: bytes) -> bool:
        """An update, and how it was published. False: it does not follow on what is known."""
        scope = self._scopes.get(name)
        return scope is None or scope.update(update, payload)

    def tell(self, update: Update, payload: bytes) -> None:
        """Of a scope that is ours."""
        if scope := self._scopes.get(update.scope):
            scope.tell(update, payload)

    def lost(self, since_ms: int) -> None:
        """The source is away. What is known stays, as of `since_ms`, until each scope's next snapshot."""
        for scope in self._scopes.values():
            if not scope.ours:
                scope.lost(since_ms)

    @property
    def missing(self) -> bool:
        """Whether somebody waits for what he missed."""
        return any(scope.waiting for scope in self._scopes.values())

    def missing_after(self) -> dict[str, int]:
        """Scope → offset after which its stream is to be read now, for those who wait for what they missed."""
        return {scope.name: scope.missing_after() for scope in self._scopes.values() if scope.waiting}

    def missed(self, name: str, epoch: str, entries: Sequence[tuple[Update, bytes]]) -> bool:
        """That read's answer. False: the scope must be read again."""
        scope = self._scopes.get(name)
        return scope is None or scope.missed(epoch, entries)

    # --- giving ---

    def flush(self, now_s: float) -> None:
        """Gives everybody what there is, as far as there is room."""
        dirty, self._dirty = self._dirty, {}
        fallen = []
        for group in self._groups.that_watch(dirty):
            data = b"".join([view.fresh for view in group.views])
            self.deliveries += len(group.viewers)
            for viewer in group.viewers:
                outlet = viewer.outlet
                if outlet.full:
                    fallen.append(viewer)
                else:
                    outlet.write(data)
        self.deliveries -= len(fallen)
        for viewer in fallen:
            self._step_out(viewer)
        for view in dirty:
            view.told(now_s)
        for viewer in list(self._behind):
            self._catch_up(viewer, now_s)

    def _catch_up(self, viewer: Viewer, now_s: float) -> None:
        while not viewer.outlet.full:
            if not (data := _take(viewer)):
                if not any(position.waits for position in viewer.positions.values()):
                    self._step_in(viewer, now_s)
                return
            viewer.outlet.write(data)
            self.deliveries += 1

    def _step_in(self, viewer: Viewer, now_s: float) -> None:
        views = frozenset(viewer.positions)
        self._groups.add(viewer, views)
        for view in views:
            view.told(now_s)
        del self._behind[viewer]

    def _step_out(self, viewer: Viewer) -> None:
        """He gets positions of his own."""
        self._behind[viewer] = None
        self.changed()
        self._groups.discard(viewer)

    def _mark(self, view: View) -> None:
        self._dirty[view] = None
        self.changed()


def _take(viewer: Viewer) -> bytes:
    """Some of what he is owed, of each scope in turn; nothing where nothing is owed."""
    taken: list[bytes] = []
    size = 0
    for view, position in list(viewer.positions.items()):
        if frames := view.owed(position):
            taken += frames
            size += sum(map(len, frames))
            viewer.positions[view] = viewer.positions.pop(view)
        if size >= PIECE_BYTES:
            break
    return b"".join(taken)
