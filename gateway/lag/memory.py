"""The workers that were heard of once and are not any more: what is known of one that is gone. Pure."""

from collections.abc import Sequence

from gateway.lag.samples import Gone
from gateway.lag.summary import Place
from wire.channels import WORKER_TTL_S
from wire.workers import Heartbeat

KEPT_MS = 600_000


class Memory:
    """Times are epoch ms."""

    def __init__(self) -> None:
        self._beats: dict[str, Heartbeat] = {}  # the last of each worker
        self._left: set[str] = set()  # who took their heartbeats away before those expired: they were asked to stop

    def note(self, beats: Sequence[Heartbeat], now_ms: float) -> None:
        """All that have not expired."""
        there = {beat.worker_id: beat for beat in beats}
        for worker_id, beat in self._beats.items():
            if worker_id not in there and now_ms - beat.sent_at_ms < WORKER_TTL_S * 1000:
                self._left.add(worker_id)
        self._left -= there.keys()
        kept = {name: beat for name, beat in self._beats.items() if now_ms - beat.sent_at_ms < KEPT_MS}
        self._beats = kept | there
        self._left &= self._beats.keys()

    def silent(self, app: str) -> list[Heartbeat]:
        """The last of those who did not say that they go."""
        return [beat for name, beat in self._beats.items() if beat.app == app and name not in self._left]

    def died_ms(self, app: str, now_ms: float, fresh_s: float) -> list[float]:
        """How long ago each of those was heard of last, but for who may be there still."""
        ages_ms = [now_ms - beat.sent_at_ms for beat in self.silent(app)]
        return [age_ms for age_ms in ages_ms if age_ms > fresh_s * 1000]

    def gone(self, place: Place, now_ms: float) -> Gone | None:
        """Who had it last, of those whose heartbeats said so."""
        had = [
            beat
            for beat in self._beats.values()
            if beat.app == place.group and place.partition in beat.partitions.get(place.topic, ())
        ]
        last = max(had, key=lambda beat: beat.sent_at_ms, default=None)
        if last is None:
            return None
        return Gone(last.worker_id, max(0.0, now_ms - last.sent_at_ms) / 1000, last.worker_id in self._left)
