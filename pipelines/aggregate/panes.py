"""The panes of a student that lie behind every window: few events come so late that they are asked for, and there are
hundreds of them in an hour. Pure."""

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from pipelines.aggregate.compact import SAME_MAX, extended, same_number

AT_ONCE = 12  # so many are laid to rest, and dropped, at a time


class Counts(msgspec.Struct, array_like=True, gc=False):
    """Of a pane. Only the one in which the student is now is his own."""

    events: int = 0
    attempts: int = 0
    failures: int = 0


same_counts = lru_cache(maxsize=SAME_MAX)(Counts)


class Resting(msgspec.Struct, array_like=True, frozen=True, gc=False):
    first: int
    last: int
    packed: bytes  # [[number, events, attempts, failures], …], in a fifth of the memory

    def read(self) -> dict[int, Counts]:
        return {same_number(number): same_counts(*counts) for number, *counts in _decode(self.packed)}

    def since(self, first: int) -> "Resting | None":
        """Without those before `first`."""
        return rest(None, {number: counts for number, counts in self.read().items() if number >= first})


_decode = msgspec.msgpack.Decoder(list[tuple[int, int, int, int]]).decode


def rest(resting: Resting | None, panes: Mapping[int, Counts]) -> Resting | None:
    """Those that rest already, and these, which are others."""
    if not panes:
        return resting
    first, last, before = min(panes), max(panes), b""
    if resting is not None:
        first, last, before = min(first, resting.first), max(last, resting.last), resting.packed
    more = [(number, of.events, of.attempts, of.failures) for number, of in panes.items()]
    return Resting(same_number(first), same_number(last), extended(before, more))


def settled(
    panes: dict[int, Counts], resting: Resting | None, first: int, first_awake: int
) -> tuple[dict[int, Counts], Resting | None]:
    """Both, with those before `first_awake` at rest and those before `first` dropped, or few of them not yet."""
    if panes and min(panes) < first_awake - AT_ONCE:
        resting = rest(resting, {number: counts for number, counts in panes.items() if number < first_awake})
        panes = {number: counts for number, counts in panes.items() if number >= first_awake}
    if resting is not None and resting.first < first - AT_ONCE:
        resting = resting.since(first)
    return panes, resting
