"""Which requests are traced: decided once, where they come in, and kept from there to the frame. Pure."""

from collections.abc import Callable

from traces.context import Context

# Of one process, where producers ask for it: one who always asks gets a share.
ASKED_A_SECOND = 10.0
ASKED_AT_ONCE = 20.0


class Head:
    def __init__(self, share: float, chance: Callable[[], float]) -> None:
        """`share`: of the requests, 0 to 1. `chance`: 0 to 1, evenly."""
        self._share = share
        self._chance = chance
        self._asked = ASKED_AT_ONCE  # tokens
        self._at_s = 0.0

    def takes(self, parent: Context | None, now_s: float) -> bool:
        """`parent`: of a producer that we know. What he does not want traced is not; what he wants traced is, while
        that is not too often."""
        if parent is not None:
            if not parent.sampled:
                return False
            self._asked = min(ASKED_AT_ONCE, self._asked + (now_s - self._at_s) * ASKED_A_SECOND)
            self._at_s = now_s
            if self._asked >= 1:
                self._asked -= 1
                return True
        return self._chance() < self._share
