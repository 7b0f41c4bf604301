"""Who works: the heartbeats that the workers leave in Redis."""

from collections.abc import Sequence

import msgspec
import redis.asyncio as redis
import structlog

from gateway.probes import Probe
from wire import channels, workers
from wire.workers import Heartbeat

log = structlog.get_logger(__name__)

PIPELINES = ("aggregate", "live", "history")  # each needs a worker that is ready, or numbers stop
FRESH_S = channels.HEARTBEAT_S * 0.9  # before that there is hardly anything new
_SCAN_KEYS = 1_000  # looked at a step: a step then takes Redis well under a millisecond


async def heartbeats(client: "redis.Redis") -> list[Heartbeat]:
    """All that have not expired, by app and id. Raises redis.RedisError or OSError."""
    keys = [key async for key in client.scan_iter(match=channels.WORKERS, count=_SCAN_KEYS)]
    beats = []
    for key, data in zip(keys, await client.mget(keys) if keys else [], strict=True):
        if data is None:  # expired since
            continue
        try:
            beats.append(workers.decode(data))
        except msgspec.DecodeError as error:
            log.warning("a heartbeat cannot be read", key=key, error=str(error))
    return sorted(beats, key=lambda beat: (beat.app, beat.worker_id))


class Seen:
    """The heartbeats as they were found last."""

    def __init__(self, client: "redis.Redis") -> None:
        self.beats: list[Heartbeat] = []
        self._client = client

    async def ask(self) -> str:
        """For a Probe, which bounds it. Raises redis.RedisError or OSError."""
        self.beats = await heartbeats(self._client)
        return f"{len(self.beats)} workers say that they live"

    async def by(self, asked: Probe) -> list[Heartbeat]:
        """What that Probe, which asks by this, has found last: however many want to know, Redis is asked once. Raises
        OSError where they cannot be read."""
        found = await asked.finding()
        if not found.up:
            raise ConnectionError(found.detail)
        return self.beats


def works(beat: Heartbeat) -> bool:
    """It is ready, and not paused."""
    return beat.ready and not beat.paused


def idle_pipelines(beats: Sequence[Heartbeat]) -> dict[str, str]:
    """The pipelines without a single worker that works, and why."""
    working = {beat.app for beat in beats if works(beat)}
    paused = {beat.app for beat in beats if beat.ready and beat.paused}  # by whom is not for everybody
    return {app: "is paused" if app in paused else "no worker is ready" for app in PIPELINES if app not in working}
