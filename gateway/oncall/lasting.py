"""One slow answer is no outage: what was found wrong once is told when it is still so a moment later. Pure."""

from collections.abc import Sequence

from gateway.oncall.reasons import Reason

SURE_S = 3.0  # longer than it is between two looks


class Lasting:
    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}  # by what it is about: since when each look has found it

    def told(self, found: Sequence[Reason], now_ms: int) -> list[Reason]:
        """Those that have been found for SURE_S."""
        self._since_ms = {one.about: self._since_ms.get(one.about, now_ms) for one in found}
        return [one for one in found if now_ms - self._since_ms[one.about] >= SURE_S * 1000]
