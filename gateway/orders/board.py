"""Orders in Redis, where the workers read them: what PostgreSQL has of pauses, again and again, and drains, once."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import NoReturn

import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from gateway import workers
from gateway.database import Database, DatabaseAwayError
from gateway.ending import ended
from gateway.orders import book
from wire import channels, orders
from wire.orders import DRAIN_TTL_S, Drain, Pause, Standing
from wire.workers import Heartbeat

EVERY_S = 2.0  # as often as a worker looks

log = structlog.get_logger(__name__)


class NoWorkerError(Exception):
    """It does not say that it lives; the message names those that do."""


class OrderBoard:
    """Redis emptied, the pauses are there again within EVERY_S. PostgreSQL away, the last ones known are; a pause ends
    in time all the same, as each worker knows its end."""

    def __init__(self, database: Database, client: "redis.Redis", groups: Sequence[str]) -> None:
        self._database = database
        self._client = client
        self._groups = groups
        self._known: dict[str, Pause] | None = None  # None: PostgreSQL has not answered yet
        self._away = ""
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="orders")

    async def stop(self) -> None:
        await ended(self._task)

    async def tell(self) -> None:
        """Of each group, what is ordered now. Raises DatabaseAwayError, with what was known before told; RedisError,
        OSError."""
        away: DatabaseAwayError | None = None
        try:
            self._known = await book.in_force(self._database, int(time.time() * 1000))
        except DatabaseAwayError as error:
            away = error
        if self._known is not None:
            told = {
                channels.standing(group): orders.encode(Standing(pause=self._known.get(group)))
                for group in self._groups
            }
            await self._client.mset(told)
        if away is not None:
            raise away

    async def worker(self, worker_id: str) -> Heartbeat:
        """What it said last. Raises NoWorkerError, RedisError, OSError."""
        beats = await workers.heartbeats(self._client)
        for beat in beats:
            if beat.worker_id == worker_id:
                return beat
        there = ", ".join(beat.worker_id for beat in beats) or "none"
        raise NoWorkerError(f"no worker {worker_id!r} says that it lives; there are: {there}")

    async def drain(self, worker_id: str, order: Drain) -> bool:
        """False where it was drained already. Raises RedisError, OSError."""
        key = channels.drain(worker_id)
        return bool(await self._client.set(key, orders.encode(order), ex=DRAIN_TTL_S, nx=True))

    async def _run(self) -> NoReturn:
        while True:
            away = ""
            try:
                await self.tell()
            except (DatabaseAwayError, RedisError, OSError) as error:
                away = str(error) or type(error).__name__
            except Exception as error:
                away = repr(error)
                log.exception("orders cannot be told")
            if bool(away) is not bool(self._away):  # once an outage
                say = log.warning if away else log.info
                say("orders cannot be told; workers keep to the last" if away else "orders are told again", why=away)
            self._away = away
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311 -- jitter, not a secret
