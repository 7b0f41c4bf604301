"""Viewers who keep up, by what they watch: what is fresh is joined once for each group. No I/O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from gateway.live.scope import View
from gateway.live.viewer import Group, Viewer


class Groups:
    def __init__(self) -> None:
        self._groups: dict[frozenset[View], Group] = {}
        self._groups_of: defaultdict[View, dict[Group, None]] = defaultdict(dict)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def that_watch(self, views: Iterable[View]) -> set[Group]:
        """Any of these."""
        return set[Group]().union(*(self._groups_of.get(view, ()) for view in views))

    def add(self, viewer: Viewer, views: frozenset[View]) -> None:
        """He keeps up from now on, and needs no positions."""
        group = self._groups.get(views)
        if group is None:
            group = self._groups[views] = Group(views)
            for view in views:
                self._groups_of[view][group] = None
                view.kept_up = True
        group.viewers[viewer] = None
        viewer.group, viewer.positions = group, {}

    def discard(self, viewer: Viewer) -> None:
        """Where he is in one, he gets positions of his own."""
        if (group := viewer.group) is None:
            return
        viewer.group, viewer.positions = None, {view: view.position() for view in viewer.views.values()}
        del group.viewers[viewer]
        if not group.viewers:
            del self._groups[group.views]
            for view in group.views:
                groups = self._groups_of[view]
                del groups[group]
                if not groups:
                    del self._groups_of[view]
                    view.kept_up = False
