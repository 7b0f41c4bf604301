"""His numbers: the newest in Redis, and all of them in the history."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import redis.asyncio as redis

from gateway.history.store import HistoryReader
from gateway.privacy.retention import HISTORY, LIVE
from gateway.privacy.store import Held, Lot
from wire import channels
from wire.scopes import Scope, ScopeKind


class Live:
    name = "redis"

    def __init__(self, client: "redis.Redis") -> None:
        """`client` gives text."""
        self._redis: Any = client

    async def export(self, student_id: str) -> Held:
        scope = str(Scope.student(student_id))
        found: list[Any] = []
        for key in _keys(scope):
            if key == channels.stream(scope):
                said: Any = [json.loads(fields["frame"]) for _, fields in await self._redis.xrange(key)]
            else:
                said = {field: _read(text) for field, text in (await self._redis.hgetall(key)).items()}
            if said:
                found.append({"key": key, "value": said})
        seen = channels.seen(ScopeKind.STUDENT)
        if (at_ms := await self._redis.zscore(seen, student_id)) is not None:
            found.append({"key": seen, "value": {student_id: at_ms}})
        return {LIVE: found}

    async def erase(self, student_id: str, *, dry_run: bool) -> list[Lot]:
        keys, seen = _keys(str(Scope.student(student_id))), channels.seen(ScopeKind.STUDENT)
        if dry_run:
            number = await self._redis.exists(*keys)
            return [Lot(LIVE, number + (await self._redis.zscore(seen, student_id) is not None))]
        return [Lot(LIVE, await self._redis.unlink(*keys) + await self._redis.zrem(seen, student_id))]


class History:
    def __init__(self, reader: HistoryReader) -> None:
        self.name = reader.name
        self._reader = reader

    async def export(self, student_id: str) -> Held:
        points = await self._reader.everything(str(Scope.student(student_id)))
        return {HISTORY: msgspec.to_builtins(points)}

    async def erase(self, student_id: str, *, dry_run: bool) -> list[Lot]:
        scope = str(Scope.student(student_id))
        points = await self._reader.everything(scope)
        if points and not dry_run:
            await self._reader.erase(scope)
        return [Lot(HISTORY, len(points))]


def _keys(scope: str) -> list[str]:
    """All there may be; of days also the one that has just begun somewhere, and one that is about to go."""
    today = datetime.now(UTC).date()
    longest = channels.DAY_TTL_S // 86_400 + 1
    days = [channels.day(scope, today + timedelta(days=number)) for number in range(-longest - 1, 2)]
    return [channels.now(scope), channels.head(scope), channels.stream(scope), *days]


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # an epoch
