"""Metric points into Redis, under the names and in the shapes of `wire.channels`."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import redis.asyncio as redis

from wire import channels, frames, metrics
from wire.metrics import DAY_S, Metric, MetricPoint, ScopeUpdate, State
from wire.scopes import Scope

TIMEOUT_S = 5.0


class LiveWriter:
    """Idempotent, and in any order: an older window or an older view of the same window never overwrites a newer."""

    def __init__(self, redis_url: str) -> None:
        self._redis = redis.from_url(redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._script = self._redis.register_script((Path(__file__).parent / "update.lua").read_text())
        self._traceparents: Mapping[str, str] = {}

    def carry(self, traceparents: Mapping[str, str]) -> None:
        """Scope → the trace that what is written of it next belongs to; until the next call."""
        self._traceparents = traceparents

    async def write(self, updates: Sequence[ScopeUpdate]) -> int:
        """Returns the points written. Raises redis.RedisError or OSError, with any part of the updates applied; each
        is applied whole or not at all, so the call is simply made again."""
        told = _by_scope(updates)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for update in told:
                keys, arguments = _call(update, self._traceparents.get(update.scope))
                await self._script(keys=keys, args=arguments, client=pipeline)
            for key, members in _seen(told).items():
                pipeline.zadd(key, members, gt=True)
                pipeline.zremrangebyrank(key, 0, -1 - channels.SEEN_MAX)
            await pipeline.execute()
        return sum(len(update.points) for update in updates)

    async def close(self) -> None:
        await self._redis.aclose()


def _by_scope(updates: Sequence[ScopeUpdate]) -> list[ScopeUpdate]:
    """One of each, in order: viewers are told once of what has gathered, and then the newest."""
    points: dict[str, list[MetricPoint]] = {}
    for update in updates:
        points.setdefault(update.scope, []).extend(update.points)
    return [ScopeUpdate(scope=scope, points=of) for scope, of in points.items()]


def _seen(updates: Sequence[ScopeUpdate]) -> dict[str, dict[str, int]]:
    """Key of `channels.seen` → scope id → event time by which something had happened in it.

    A minute with an event in it says when, and is told again while it slides over that event; a day's count is told
    when it has changed, but also when it becomes final, and of everybody after a restart. So both are asked for.
    """
    counted: set[str] = set()
    latest_ms: dict[str, int] = {}
    for update in updates:
        for point in update.points:
            if point.metric is Metric.EVENTS_BY_KIND and point.state is not State.FINAL:
                counted.add(update.scope)
            elif point.metric is Metric.EVENTS_PER_MINUTE and point.value > 0:
                happened_ms = min(point.end_ms, point.as_of_ms)
                latest_ms[update.scope] = max(latest_ms.get(update.scope, happened_ms), happened_ms)
    seen: dict[str, dict[str, int]] = {}
    for name in counted & latest_ms.keys():
        scope = Scope.parse(name)
        seen.setdefault(channels.seen(scope.kind), {})[scope.id] = latest_ms[name]
    return seen


def _call(update: ScopeUpdate, traceparent: str | None) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of update.lua."""
    scope = update.scope
    keys = [channels.now(scope), channels.head(scope), channels.stream(scope)]
    arguments: list[Any] = [
        secrets.token_hex(8),
        channels.NOW_TTL_S,
        channels.DAY_TTL_S,
        channels.stream_max_len(scope),
        channels.live(scope),
        msgspec.json.encode(scope),
        frames.traced(traceparent) if traceparent else b"",
    ]
    # An update after a backlog holds many windows of one value; what is shown is the newest.
    newest: dict[tuple[int, str], MetricPoint] = {}
    for point in update.points:
        homes = [1]
        if point.window_s == DAY_S:
            day = channels.day(scope, datetime.fromtimestamp(point.start_ms / 1000, UTC).date())
            if day not in keys:
                keys.append(day)
            homes.append(keys.index(day) + 1)
        for number in homes:
            held = newest.get((number, point.field))
            if held is None or (held.start_ms, held.as_of_ms) <= (point.start_ms, point.as_of_ms):
                newest[number, point.field] = point
    for (number, field), point in newest.items():
        arguments += [number, field, point.start_ms, point.as_of_ms, metrics.encode(point)]
    return keys, arguments
