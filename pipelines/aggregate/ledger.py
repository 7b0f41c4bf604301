"""What each source partition said of the windows of one kind, of one scope, and what that adds up to. Pure."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec

from wire.partials import PaneCounts


class Counts(Protocol):
    def add(self, other: Self) -> None: ...


CountsT = TypeVar("CountsT", bound=Counts)
BySource = dict[int, tuple[int, CountsT]]  # source partition → (offset, counts)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(BySource[PaneCounts]).decode


class Ledger(Generic[CountsT]):
    __slots__ = ("_new", "_stale", "said", "sums", "touched_ms", "unwritten")

    def __init__(self, new: Callable[[], CountsT]) -> None:
        self._new = new
        self._stale: set[int] = set()  # windows whose sum is to be made anew
        self.said: dict[int, BySource[CountsT]] = {}  # by number of the window
        self.sums: dict[int, CountsT] = {}  # as of the last `add_up`; not to be changed
        self.touched_ms: dict[int, int] = {}  # wall clock
        self.unwritten: set[int] = set()

    def restore(self, number: int, said: BySource[CountsT], wall_ms: int) -> None:
        self.said[number] = said
        self.touched_ms[number] = wall_ms
        self._stale.add(number)

    @property
    def stale(self) -> int:
        """How many windows `add_up` will say."""
        return len(self._stale)

    def take(self, number: int, source: int, offset: int, counts: CountsT, wall_ms: int) -> None:
        """Ignores what is older than what is held. What says the same as before, as a replay does, changes no sum."""
        self.touched_ms[number] = wall_ms
        said = self.said.get(number)
        if said is None:
            said = self.said[number] = {}
        elif (before := said.get(source)) is not None:
            if offset < before[0]:
                return
            if counts == before[1]:
                if offset > before[0]:
                    said[source] = (offset, counts)
                    self.unwritten.add(number)
                return
        said[source] = (offset, counts)
        self._stale.add(number)
        self.unwritten.add(number)

    def written(self, number: int) -> Any:
        """What the changelog is to hold of it."""
        return self.said[number]

    def add_up(self) -> set[int]:
        """The windows whose sums have changed since the last call. Adding up a window once for all that the sources
        have said meanwhile costs as much as adding each of them once."""
        stale, self._stale = self._stale, set()
        for number in stale:
            self.sums[number] = self._sum(self.said[number])
        return stale

    def _sum(self, said: BySource[CountsT]) -> CountsT:
        if len(said) == 1:
            ((_, total),) = said.values()
            return total
        total = self._new()
        for _, counts in said.values():
            total.add(counts)
        return total

    def drop(self, number: int) -> None:
        del self.touched_ms[number]
        self.said.pop(number, None)
        self.sums.pop(number, None)
        self._stale.discard(number)
        self.unwritten.discard(number)


class Panes(Ledger[PaneCounts]):
    """There are hundreds in an hour of each scope, and few change: what was said of the others is kept as it is
    written, which takes a tenth of the memory."""

    __slots__ = ("_packed",)

    def __init__(self) -> None:
        super().__init__(PaneCounts)
        self._packed: dict[int, bytes] = {}  # of what is not in `said`; or is, and has not changed since

    def restore_packed(self, number: int, packed: bytes, wall_ms: int) -> None:
        """What `written` gave."""
        self._packed[number] = packed
        self.touched_ms[number] = wall_ms

    def take(self, number: int, source: int, offset: int, counts: PaneCounts, wall_ms: int) -> None:
        packed = self._packed.pop(number, None)
        if packed is not None and number not in self.said:
            self.said[number] = _decode(packed)
        super().take(number, source, offset, counts, wall_ms)

    def written(self, number: int) -> bytes:
        packed = self._packed[number] = _encode(self.said[number])
        return packed

    def get(self, number: int) -> PaneCounts | None:
        """The sum of a pane, as of the last `add_up`; not to be changed."""
        total = self.sums.get(number)
        if total is None and number in self.touched_ms:
            said = self.said.get(number) or _decode(self._packed[number])
            total = self.sums[number] = self._sum(said)
        return total

    def rest(self, touched_before_ms: int, summed_before: int) -> None:
        """Packs what was not touched for a while. Panes before `summed_before` will hardly be asked for."""
        for number in [number for number in self.said if self.touched_ms[number] < touched_before_ms]:
            if number in self.unwritten or number in self._stale:
                continue
            said = self.said.pop(number)
            if number not in self._packed:
                self._packed[number] = _encode(said)
        for number in [number for number in self.sums if number < summed_before]:
            del self.sums[number]

    def drop(self, number: int) -> None:
        super().drop(number)
        self._packed.pop(number, None)
