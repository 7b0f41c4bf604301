"""What Redis holds of a scope: its newest values, and the updates it keeps for those who come back."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import redis.asyncio as redis
import structlog

from wire import channels, frames, metrics
from wire.frames import Update
from wire.metrics import MetricPoint

log = structlog.get_logger(__name__)


class Whole(NamedTuple):
    epoch: str  # "" where the scope has never had a value
    offset: int
    points: list[MetricPoint]


class Missed(NamedTuple):
    epoch: str
    updates: list[tuple[Update, bytes]]  # each with how it was published; one follows on the other


class Reader:
    """Raises redis.RedisError or OSError."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    async def whole(self, scopes: Sequence[str]) -> list[Whole]:
        """In one transaction, so that each scope's offset and values are of one moment."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            for scope in scopes:
                pipeline.hmget(channels.head(scope), "epoch", "offset")
                pipeline.hgetall(channels.now(scope))
            answers = await pipeline.execute()
        return [
            Whole((epoch or b"").decode(), int(offset or 0), _points(scope, now))
            for scope, (epoch, offset), now in zip(scopes, answers[::2], answers[1::2], strict=True)
        ]

    async def missed(self, scope: str, after: int) -> Missed:
        """What is kept of the updates behind an offset."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hget(channels.head(scope), "epoch")
            pipeline.xrange(channels.stream(scope), min=f"{after + 1}-0")
            epoch, entries = await pipeline.execute()
        return Missed((epoch or b"").decode(), _updates(scope, entries))

    async def aclose(self) -> None:
        await self._redis.aclose()


def _points(scope: str, now: dict[bytes, bytes]) -> list[MetricPoint]:
    """What can be read of a scope's values: one that cannot does not hide the others."""
    points = []
    for field, data in now.items():
        try:
            points.append(metrics.decode_point(data))
        except msgspec.DecodeError as error:
            log.warning("a value in Redis cannot be read", scope=scope, field=field.decode(), error=str(error))
    return points


def _updates(scope: str, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[tuple[Update, bytes]]:
    """None at all where one of them cannot be read or does not follow on the one before."""
    updates: list[tuple[Update, bytes]] = []
    for number, (_, fields) in enumerate(entries):
        try:
            frame = frames.decode(payload := fields[b"frame"])
            if not isinstance(frame, Update) or (updates and frame.offset != updates[0][0].offset + number):
                raise ValueError("it is no update that follows on the one before")
        except ValueError as error:  # msgspec's errors are such
            log.warning("a kept update cannot be used", scope=scope, error=str(error))
            return []
        updates.append((frame, payload))
    return updates
