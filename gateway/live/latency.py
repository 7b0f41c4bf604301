"""How long updates took from their newest event until they were written to viewers, as the page measures it, too."""

from wire.frames import Update
from wire.metrics import Metric

LONG_AGO_MS = 86_400_000  # a replay of old times is not slow
PENDING_MAX = 1_000


class Latency:
    """Pure. Times are epoch ms."""

    def __init__(self) -> None:
        self._newest_ms = 0
        self._pending: list[int] = []

    def take(self, update: Update, now_ms: int) -> None:
        """Only an update that brings a newer event than any before tells how long an event took. What is ahead of our
        clock tells nothing."""
        for point in update.values:
            if point.metric is Metric.EVENTS_PER_MINUTE and point.value > 0:
                if self._newest_ms < point.as_of_ms <= now_ms:
                    self._newest_ms = point.as_of_ms
                    if len(self._pending) < PENDING_MAX:
                        self._pending.append(point.as_of_ms)
                return

    def written(self, now_ms: int) -> list[int]:
        """What was taken is with the viewers now: how long each took, ms."""
        taken, self._pending = self._pending, []
        return [now_ms - at_ms for at_ms in taken if now_ms - at_ms < LONG_AGO_MS]
