"""Since when a pipeline has had no worker that works. Away for up to GRACE_S, as in a restart, nobody is told of;
as with the consumer groups. Pure."""

from collections.abc import Sequence

from gateway.workers import idle_pipelines, works
from wire.workers import Heartbeat

GRACE_S = 10.0


class Absence:
    """Times are epoch ms."""

    def __init__(self) -> None:
        self._worked_ms: dict[str, int] = {}  # when a worker of it last said that it works
        self._heard: dict[str, Heartbeat] = {}  # the newest of each pipeline
        self._from_ms: int | None = None  # no absence is known of before; None: nobody has looked

    def told(self, beats: Sequence[Heartbeat] | None, now_ms: int) -> dict[str, int]:
        """Each pipeline that has been without for longer than GRACE_S, and since when. `beats`: those that have not
        expired; None: they cannot be read, so that nothing is known."""
        if beats is None:
            self._from_ms = now_ms
            return {}
        from_ms = self._from_ms = now_ms if self._from_ms is None else self._from_ms
        for beat in sorted(beats, key=lambda one: one.sent_at_ms):
            self._heard[beat.app] = beat
            if works(beat):
                self._worked_ms[beat.app] = max(self._worked_ms.get(beat.app, 0), beat.sent_at_ms)
        since_ms = {app: max(from_ms, self._worked_ms.get(app, 0)) for app in idle_pipelines(beats)}
        return {app: since for app, since in since_ms.items() if now_ms - since > GRACE_S * 1000}

    def heard(self, now_ms: int) -> dict[str, str]:
        """Of which worker of each pipeline was heard last, and when, in words."""
        return {
            app: f"{beat.worker_id} was last heard of {max(0, now_ms - beat.sent_at_ms) / 1000:.0f} s ago"
            for app, beat in self._heard.items()
        }
