"""Good ones and all of them, by minute for six hours and by hour for a month. Pure; times are epoch seconds.

What is counted is a total of this process for that minute or hour, never an increment, so storing it twice changes
nothing.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.objectives.promises import NOTHING, WINDOWS_S, Count

MINUTE_S, HOUR_S = 60, 3_600
KEPT_S = {MINUTE_S: 6 * HOUR_S, HOUR_S: 31 * 24 * HOUR_S}  # by span: what is older is deleted


class Key(NamedTuple):
    span_s: int
    at_s: int  # its beginning
    objective: str


Rows = Mapping[Key, Count]


class Counts:
    """Of this process. Bounded by KEPT_S, however long nothing can be stored."""

    def __init__(self) -> None:
        self._rows: dict[Key, Count] = {}
        self._unstored: set[Key] = set()

    @property
    def rows(self) -> Rows:
        return self._rows

    def add(self, objective: str, count: Count, now_s: float) -> None:
        if not count.total:
            return
        for span_s in KEPT_S:
            key = Key(span_s, int(now_s // span_s) * span_s, objective)
            self._rows[key] = self._rows.get(key, NOTHING).plus(count)
            self._unstored.add(key)

    def unstored(self) -> dict[Key, Count]:
        """What PostgreSQL does not have yet, or has an older count of."""
        return {key: self._rows[key] for key in self._unstored}

    def stored(self, rows: Rows) -> None:
        """It has these; what was counted meanwhile is still to be stored."""
        self._unstored -= {key for key, count in rows.items() if self._rows.get(key) == count}

    def forget(self, now_s: float) -> None:
        for key in [key for key in self._rows if key.at_s <= now_s - KEPT_S[key.span_s] - key.span_s]:
            del self._rows[key]
            self._unstored.discard(key)


def over(rows: Iterable[tuple[Key, Count]], now_s: float) -> dict[str, dict[int, Count]]:
    """By objective and window: what lies in it whole, so of the oldest minute, or hour, nothing or all."""
    found: dict[str, dict[int, Count]] = {}
    for key, count in rows:
        of = found.setdefault(key.objective, dict.fromkeys(WINDOWS_S, NOTHING))
        for window_s in WINDOWS_S:
            fits = (window_s <= KEPT_S[MINUTE_S]) == (key.span_s == MINUTE_S)
            if fits and now_s - window_s <= key.at_s <= now_s:
                of[window_s] = of[window_s].plus(count)
    return found
