"""The event ids that a partition has seen lately. Pure; what it knows depends on the events alone.

Two generations: an id is known from when it came until the generation after its own is over. A generation lasts as long
as an event may be late, so an event that is folded twice is found out whenever the second one comes. It ends earlier
when it is full: memory is bounded, and what is forgotten too early is counted.
"""

from array import array
from collections.abc import Callable

from preshed.maps import PreshMap
from xxhash import xxh3_64_intdigest

hash_of: Callable[[bytes, int], int] = xxh3_64_intdigest  # bytes, seed
# An id is so much of it, as in the changelogs there are. Of 150,000 ids known, a new one is taken for one of them once
# in 7 * 10^12.
ID_BITS = (1 << 60) - 1


class Ids:
    def __init__(self, lasts_ms: int) -> None:
        self.generation = 0
        self.ends_ms = 0  # event time at which the generation is over
        self.forgotten = 0  # too early
        # The keys of maps, whose values say nothing: a third of what a set of Python's ints takes.
        self.ids = PreshMap()
        self.old = PreshMap()
        self.fresh: array[int] = array("Q")  # those that came since `take`; whoever adds to `ids` adds to it too
        self._fresh_old: array[int] = array("Q")  # the same, of `old`
        self._lasts_ms = lasts_ms

    def roll(self, event_time_ms: int) -> None:
        """Begins a new generation; to be called when this one is over, or full."""
        over = event_time_ms >= self.ends_ms
        # After a quiet time both are over.
        stale = over and event_time_ms >= self.ends_ms + self._lasts_ms
        if not over:
            self.forgotten += len(self.old)
        self.old, self.ids = PreshMap() if stale else self.ids, PreshMap()
        self._fresh_old, self.fresh = array("Q") if stale else self.fresh, array("Q")
        self.generation += 2 if stale else 1  # so that nobody takes the one before it for known
        self.ends_ms = event_time_ms + self._lasts_ms

    def take(self) -> dict[int, bytes]:
        """Generation → the ids that came since the last call, 8 bytes each; of the generations still known."""
        fresh = {self.generation - 1: self._fresh_old.tobytes(), self.generation: self.fresh.tobytes()}
        self._fresh_old, self.fresh = array("Q"), array("Q")
        return {generation: ids for generation, ids in fresh.items() if ids}

    def put_back(self, generation: int, ids: bytes) -> None:
        """Of what `take` gave; `generation` and `ends_ms` have been set to what they were."""
        if self.knows(generation):
            known = self.ids if generation == self.generation else self.old
            for id_ in memoryview(ids).cast("Q"):
                known[id_ & ID_BITS] = 1  # once all bits were written

    def knows(self, generation: int) -> bool:
        return self.generation - 1 <= generation <= self.generation
