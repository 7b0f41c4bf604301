"""Which processes of the gateway there are beside this one, and which of them say nothing any more.

One that is frozen answers nobody, and viewers who came to it wait: only another can tell of it.
"""

import asyncio
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import msgspec
import redis.asyncio as redis
import structlog

from gateway.ending import ended
from wire import channels, gateways
from wire.gateways import HEARTBEAT_S, Sibling

SILENT_S = 8.0  # four heartbeats; with a look every 2 s it is told within 15 s
FORGOTTEN_S = 300.0  # of a machine that is gone for good; a process that is still there is not forgotten
PROMPT_S = 1.0  # an answer that took longer may have waited until this process was woken, and tell of old times
ROUND_S = 2.0
STOP_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Silent:
    who: Sibling
    for_s: float


@dataclass(frozen=True)
class Judged:
    silent: Sequence[Silent]
    ended: Sequence[Sibling]  # who need not be remembered


def judge(ages_s: Mapping[Sibling, float], me: Sibling, runs: Callable[[int], bool]) -> Judged:
    """`ages_s`: since each last said something. `runs`: whether this machine has such a process. Pure."""
    silent, ended = [], []
    for who, age_s in sorted(ages_s.items(), key=lambda one: (one[0].host, one[0].pid, one[0].id)):
        here = who.host == me.host
        if who == me:
            continue
        # Killed here, it is started anew, maybe under its number; of another machine only time tells.
        if (here and (who.pid == me.pid or not runs(who.pid))) or (not here and age_s >= FORGOTTEN_S):
            ended.append(who)
        elif age_s >= SILENT_S:
            silent.append(Silent(who, age_s))
    return Judged(silent, ended)


class Siblings:
    def __init__(self, client: "redis.Redis") -> None:
        """Opens nothing."""
        self.silent: Sequence[Silent] = ()  # nobody, too, where Redis is away
        self._client = client
        self._me = Sibling(secrets.token_hex(8), socket.gethostname(), os.getpid())
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="siblings")

    async def stop(self) -> None:
        """The others forget this one at once."""
        if self._task is None:
            return
        await ended(self._task)
        try:
            async with asyncio.timeout(STOP_S):
                await self._client.zrem(channels.GATEWAYS, gateways.encode(self._me))
        except (redis.RedisError, OSError, TimeoutError) as error:
            log.info("other gateways are not told that this one ends", reason=str(error))

    async def _run(self) -> NoReturn:
        while True:
            try:
                async with asyncio.timeout(ROUND_S):
                    await self._round()
            except (redis.RedisError, OSError, TimeoutError):  # health tells of it
                self.silent = ()
            except Exception:  # a fault of ours
                log.exception("the other gateways could not be looked at")
            await asyncio.sleep(HEARTBEAT_S * random.uniform(0.9, 1.1))  # noqa: S311 -- jitter, not a secret

    async def _round(self) -> None:
        began_s = time.monotonic()
        seconds, microseconds = await self._client.time()
        now_s = seconds + microseconds / 1e6
        async with self._client.pipeline(transaction=False) as asked:
            asked.zadd(channels.GATEWAYS, {gateways.encode(self._me): now_s})
            asked.expire(channels.GATEWAYS, int(FORGOTTEN_S))
            asked.zrange(channels.GATEWAYS, 0, -1, withscores=True)
            *_, found = await asked.execute()
        if time.monotonic() - began_s > PROMPT_S:
            return
        ages_s = {}
        for member, at_s in found:
            try:
                ages_s[gateways.decode(member)] = now_s - at_s
            except msgspec.DecodeError:  # of another version
                continue
        judged = judge(ages_s, self._me, _runs)
        self.silent = judged.silent
        if judged.ended:
            await self._client.zrem(channels.GATEWAYS, *map(gateways.encode, judged.ended))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
