"""How long things took: counts by bucket, and what quantiles they tell. Pure."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Spread:
    """`counts`: of each bound as many as took no longer than it and longer than the one before; the last one without a
    bound. `total_s`: of all together."""

    bounds_s: Sequence[float]
    counts: Sequence[int]
    total_s: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean_s(self) -> float | None:
        return self.total_s / self.count if self.count else None

    def quantile_s(self, share: float) -> float | None:
        """As if what is in a bucket were spread evenly over it, as Prometheus' histogram_quantile has it; what is
        beyond the last bound is told as that bound. None: there is nothing."""
        wanted, seen = share * self.count, 0
        if not self.count:
            return None
        for number, count in enumerate(self.counts):
            if count and seen + count >= wanted:
                if number == len(self.bounds_s):
                    break
                low = self.bounds_s[number - 1] if number else 0.0
                return low + (self.bounds_s[number] - low) * (wanted - seen) / count
            seen += count
        return self.bounds_s[-1]

    def __add__(self, other: "Spread") -> "Spread":
        counts = [one + two for one, two in zip(self.counts, other.counts, strict=True)]
        return Spread(self.bounds_s, counts, self.total_s + other.total_s)

    def __sub__(self, before: "Spread") -> "Spread":
        """What has come since `before`; all of it where a process of several was started anew, and counts less."""
        counts = [now - then for now, then in zip(self.counts, before.counts, strict=True)]
        if min(counts) < 0:
            return self
        return Spread(self.bounds_s, counts, max(0.0, self.total_s - before.total_s))


NOTHING = Spread(BOUNDS_S, [0] * (len(BOUNDS_S) + 1), 0.0)


def of_buckets(at_most: Mapping[float, float], total_s: float) -> Spread:
    """`at_most`: how many took no longer, by bound, as Prometheus counts them; +Inf among them."""
    bounds = sorted(at_most)
    counts = [round(at_most[bound]) for bound in bounds]
    each = [now - before for now, before in zip(counts, [0, *counts], strict=False)]
    return Spread([bound for bound in bounds if not math.isinf(bound)], each, total_s)


class Tally:
    """Adds up one by one."""

    __slots__ = ("counts", "total_s", "worst_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0
        self.worst_s = 0.0

    def add(self, took_s: float) -> None:
        self.counts[bisect_left(BOUNDS_S, took_s)] += 1
        self.total_s += took_s
        self.worst_s = max(self.worst_s, took_s)

    def spread(self) -> Spread:
        return Spread(BOUNDS_S, list(self.counts), self.total_s)


class Lately:
    """Of counts that only grow, what has come in the last PERIOD_S to twice as long. Not before the first `turn`."""

    PERIOD_S = 300.0

    def __init__(self) -> None:
        self._turned_s: float | None = None
        self._before: dict[str, Spread] = {}
        self._since: dict[str, Spread] = {}

    def turn(self, now: Mapping[str, Spread], now_s: float) -> None:
        """To be called more often than every PERIOD_S."""
        if self._turned_s is None or now_s - self._turned_s >= self.PERIOD_S:
            self._before = self._since if self._turned_s is not None else dict(now)
            self._since, self._turned_s = dict(now), now_s

    def of(self, name: str, now: Spread) -> Spread:
        before = self._before.get(name)
        return now if before is None else now - before
