"""How long to wait before the next time of something that costs: longer under load, and only then."""

import time
from collections.abc import Callable


def gap_s(took_s: float, share: float, busy: float, least_s: float, most_s: float) -> float:
    """From the end of one time to the beginning of the next, where one time took `took_s` of work.

    On a core that is `busy` with other things all the time (1.0), it takes `share` of the time and no more; half of
    what is idle may go to it too. Not less than `least_s`. At `most_s` waiting longer would cost more than it saves:
    values grow old, and a kill leaves more to do again.
    """
    allowed = share + max(0.0, 1 - busy) / 2
    return min(most_s, max(least_s, took_s * (1 / allowed - 1)))


class Busy:
    """How busy this process has been: of its threads one at a time runs Python, so what another does is not idle."""

    def __init__(
        self, wall_s: Callable[[], float] = time.monotonic, worked_s: Callable[[], float] = time.process_time
    ) -> None:
        self._wall_s = wall_s
        self._worked_s = worked_s
        self._since = wall_s(), worked_s()

    def share(self) -> float:
        """Of the time since it was asked last: 0 idle, 1 without a pause."""
        wall_s, worked_s = self._since
        self._since = self._wall_s(), self._worked_s()
        return min(1.0, (self._since[1] - worked_s) / max(self._since[0] - wall_s, 1e-6))
