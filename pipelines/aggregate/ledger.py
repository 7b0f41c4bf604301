"""What each source partition said of the windows of one kind, of one scope, and what that adds up to. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec

from pipelines.aggregate.blocks import BLOCK, Blocks
from pipelines.aggregate.compact import same_number
from wire.partials import PaneCounts


class Counts(Protocol):
    def add(self, other: Self) -> None: ...


CountsT = TypeVar("CountsT", bound=Counts)
BySource = dict[int, tuple[int, CountsT]]  # source partition → (offset, counts)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(BySource[PaneCounts]).decode
_decode_block = msgspec.msgpack.Decoder(list[tuple[int, msgspec.Raw]]).decode


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
    """There are hundreds in an hour of each scope, and few change: of the others, what was said is laid to rest, as it
    is written."""

    __slots__ = ("_resting", "_woken")

    def __init__(self) -> None:
        super().__init__(PaneCounts)
        # Of the panes in `touched_ms`, those not in `said` are in one of these. So may others be that were dropped,
        # which never come back: merge refuses them.
        self._resting = Blocks(_decode_block)
        self._woken: dict[int, msgspec.Raw] = {}  # because another one of their block was

    def restore_written(self, panes: Mapping[int, bytes], wall_ms: int) -> None:
        """What `written` gave of all that are held."""
        self._resting.add([(number, msgspec.Raw(written)) for number, written in panes.items()])
        self.touched_ms = dict.fromkeys(panes, wall_ms)

    def take(self, number: int, source: int, offset: int, counts: PaneCounts, wall_ms: int) -> None:
        if number in self.touched_ms and number not in self.said:
            if number not in self._woken:
                self._woken.update(self._resting.take(number))
            self.said[number] = _decode(self._woken.pop(number))
        super().take(number, source, offset, counts, wall_ms)

    def written(self, number: int) -> bytes:
        return _encode(self.said[number])

    def get(self, number: int) -> PaneCounts | None:
        """The sum of a pane, as of the last `add_up`; not to be changed."""
        if number not in self.sums and number in self.touched_ms:
            if number in self.said:
                self.sums[number] = self._sum(self.said[number])
            elif number in self._woken:
                self.sums[number] = self._sum(_decode(self._woken[number]))
            else:  # those around it will be asked for too
                for other, written in self._resting.around(number):
                    if other in self.touched_ms:
                        self.sums[same_number(other)] = self._sum(_decode(written))
        return self.sums.get(number)

    def rest(self, touched_before_ms: int, summed_before: int) -> None:
        """Lays to rest what was not touched for a while. Panes before `summed_before` will hardly be asked for."""
        awake = self.unwritten | self._stale
        resting = [
            number for number in self.said if self.touched_ms[number] < touched_before_ms and number not in awake
        ]
        self._resting.add([*self._woken.items(), *((number, self.said.pop(number)) for number in resting)])
        self._woken.clear()
        self._resting.keep({number // BLOCK for number in self.touched_ms})
        for number in [number for number in self.sums if number < summed_before]:
            del self.sums[number]

    def drop(self, number: int) -> None:
        super().drop(number)
        self._woken.pop(number, None)
