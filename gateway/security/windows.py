"""How much of a rate is used up: a sliding window counter. Pure.

A window begins with what is first counted in it. Of the window before it as much still counts as of the present one is
left, as if it had come evenly. `limits` reckons the same way, so what we count in Redis it can read.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from limits import RateLimitItem

KEPT_MAX = 20_000  # of a process; the one not seen for longest is forgotten, and begins anew


class Window:
    """Made once and kept, as making one takes longer than counting in it."""

    __slots__ = ("amount", "key", "of", "period_ms", "policy", "rate")

    def __init__(self, policy: str, of: str, rate: RateLimitItem) -> None:
        """`policy`: what is limited, as answers name it. `of`: whose count it is."""
        self.policy = policy
        self.of = of
        self.rate = rate
        self.amount = rate.amount
        self.period_ms = rate.get_expiry() * 1_000
        self.key = rate.key_for(policy, of)


class Count(NamedTuple):
    previous: int  # in the window before the present one
    current: int
    left_ms: int  # of the present window

    def used(self, window: Window) -> int:
        return self.previous * self.left_ms // window.period_ms + self.current

    def room(self, window: Window) -> int:
        return max(0, window.amount - self.used(window))

    def wait_ms(self, window: Window, cost: int) -> int:
        """Until `cost`, at most the rate's amount, fits, if nothing else is counted meanwhile."""
        spare, period_ms = window.amount - cost, window.period_ms
        if self.used(window) <= spare:
            return 0
        if self.current <= spare:
            return self.left_ms - _left_ms(self.previous, spare - self.current, period_ms)
        return self.left_ms + period_ms - _left_ms(self.current, spare, period_ms)


def _left_ms(previous: int, spare: int, period_ms: int) -> int:
    """The most that may be left of a window for `previous` to count no more than `spare`."""
    return -(-(spare + 1) * period_ms // previous) - 1


class Taken(NamedTuple):
    fits: bool  # all windows had room, and it was counted in all; else in none
    counts: Sequence[Count]  # of each window, after it


class Windows:
    """In this process's memory, bounded."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._kept: OrderedDict[str, tuple[int, int, int]] = OrderedDict()  # previous, current, the window's end

    def take(self, windows: Sequence[Window], cost: int, now_ms: int) -> Taken:
        counts = [self.look(window, now_ms) for window in windows]
        if any(count.used(window) + cost > window.amount for window, count in zip(windows, counts, strict=True)):
            return Taken(False, counts)
        counts = [count._replace(current=count.current + cost) for count in counts]
        for window, count in zip(windows, counts, strict=True):
            self._kept[window.key] = (count.previous, count.current, now_ms + count.left_ms)
            self._kept.move_to_end(window.key)
        while len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)
        return Taken(True, counts)

    def forget(self, window: Window) -> None:
        self._kept.pop(window.key, None)

    def look(self, window: Window, now_ms: int) -> Count:
        """Counts nothing."""
        period_ms = window.period_ms
        previous, current, end_ms = self._kept.get(window.key, (0, 0, 0))
        if now_ms < end_ms:
            return Count(previous, current, end_ms - now_ms)
        if now_ms < end_ms + period_ms and current:
            return Count(current, 0, end_ms + period_ms - now_ms)
        return Count(0, 0, period_ms)
