"""The same windows in Redis, one count for all gateways; and in this process's memory while Redis is away.

What is asked while Redis answers, or within PACE_S, goes to it together, as one call of a script. It is counted in all
of an asker's windows or in none: the script of `limits` knows one window, and who is refused by his second one would
have paid in his first. The keys and what they hold are `limits`' own.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import redis.asyncio as redis
import structlog
from limits import parse
from limits.aio.storage import RedisStorage
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.ending import ended
from gateway.security.windows import KEPT_MAX, Count, Taken, Window, Windows

log = structlog.get_logger(__name__)

PREFIX = "classpulse:limits"
AT_ONCE = 64  # askers of one call: Redis is busy with it for about a millisecond
PACE_S = 0.001  # between two calls: each takes 0.1 ms of ours, however many it asks for
PROBE_S = 0.5  # between two questions whether Redis is back, and a random part of it more

# KEYS: of each window the present count's and the previous one's. ARGV[1]: of each asker the cost and how many windows
# he has, then of each of them the amount and the period in ms. Answers for each asker 1 or 0, then of each of his
# windows the previous count, the present one, and the ms left. Both are numbers in one string, as redis-py takes
# microseconds for each value. Times are those of `limits`: the present count lives for two periods, so that it can be
# renamed to the previous one after the first.
_SCRIPT = b"""
local told, key, given = {}, 1, string.gmatch(ARGV[1], '%d+')
local function number() return tonumber(given()) end
while key <= #KEYS do
  local cost, windows, counts, fits = number(), number(), {}, 1
  for w = 1, windows do
    local present, before = KEYS[key], KEYS[key + 1]
    local amount, period = number(), number()
    key = key + 2
    local lives = redis.call('pttl', present)
    if lives > 0 and lives < period then
      redis.call('rename', present, before)
      lives = lives + period
      redis.call('set', present, 0, 'PX', lives)
    end
    local previous, current, left = tonumber(redis.call('get', before) or 0), 0, period
    if lives > 0 then
      current, left = tonumber(redis.call('get', present) or 0), lives - period
    end
    if math.floor(previous * left / period) + current + cost > amount then fits = 0 end
    counts[w] = {present, period, lives, previous, current, left}
  end
  told[#told + 1] = fits
  for w = 1, windows do
    local present, period, lives, previous, current, left = unpack(counts[w])
    if fits == 1 then
      current = current + cost
      if lives > 0 then
        redis.call('incrby', present, cost)
      else
        redis.call('set', present, cost, 'PX', 2 * period)
      end
    end
    told[#told + 1] = previous
    told[#told + 1] = current
    told[#told + 1] = left
  end
end
return table.concat(told, ' ')
"""


_NOBODYS = Window("probe", "", parse("1/second"))


class _Asked(NamedTuple):
    windows: Sequence[Window]
    cost: int
    answer: asyncio.Future[Taken]


class SharedWindows(RedisStorage):
    def __init__(self, redis_url: str, wait_s: float) -> None:
        """Opens nothing. `wait_s`: for one answer of Redis; then it is away."""
        # Deadlines are kept here: redis-py's would swallow cancellations before Python 3.12.
        timeouts = {"socket_timeout": None, "socket_connect_timeout": None}
        # Tried twice: its connection may be older than Redis's restart.
        pool = redis.ConnectionPool.from_url(redis_url, **timeouts, retry=Retry(NoBackoff(), 1))
        options: dict[str, Any] = {"connection_pool": pool}
        super().__init__("async+redis://", implementation="redispy", key_prefix=PREFIX, **options)
        self._client = redis.Redis(connection_pool=pool)
        self._script = self._client.register_script(_SCRIPT)
        self._keys = lru_cache(KEPT_MAX)(self._names)
        self._wait_s = wait_s
        self._local = Windows()
        self._asked: list[_Asked] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.away: str | None = None  # why each process counts for itself now

    async def start(self) -> None:
        """Does not wait for Redis."""
        self._task = asyncio.create_task(self._run(), name="rate limits")

    async def stop(self) -> None:
        """Who still asks is answered from memory."""
        await ended(self._task)
        self._task = None
        self._settle_locally(self._asked)
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def take(self, windows: Sequence[Window], cost: int) -> Taken:
        """Counts `cost` where all windows have room for it, else in none. Raises nothing."""
        if self.away is not None or self._task is None:
            return self._local.take(windows, cost, _now_ms())
        asked = _Asked(windows, cost, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        self._wake.set()
        return await asked.answer

    async def forget(self, window: Window) -> None:
        """As if nothing had been counted in it. Raises nothing: what Redis does not take is forgotten in time."""
        self._local.forget(window)
        if self.away is None and self._task is not None:
            try:
                await self._within(self._client.unlink(*self._keys(window.key)))
            except Exception as error:  # whatever a client library raises; whoever counts next finds Redis away
                log.warning("a count is not forgotten", policy=window.policy, reason=str(error) or type(error).__name__)

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._asked:
                batch, next_s = self._asked[:AT_ONCE], clock() + PACE_S
                try:
                    answers = await self._counted([(asked.windows, asked.cost) for asked in batch])
                except Exception as error:  # whatever a client library raises, nobody may wait for it
                    self._lost(error)
                    await self._back()
                    break
                del self._asked[: len(batch)]
                for asked, taken in zip(batch, answers, strict=True):
                    _settle(asked, taken)
                if (pause_s := next_s - clock()) > 0:
                    await asyncio.sleep(pause_s)

    async def _counted(self, batch: Sequence[tuple[Sequence[Window], int]]) -> list[Taken]:
        keys: list[str] = []
        given: list[str] = []
        for windows, cost in batch:
            given.append(f"{cost} {len(windows)}")
            for window in windows:
                keys += self._keys(window.key)
                given.append(f"{window.amount} {window.period_ms}")
        told = map(int, (await self._within(self._script(keys, [" ".join(given)]))).split())
        return [
            Taken(next(told) == 1, [Count(next(told), next(told), next(told)) for _ in windows]) for windows, _ in batch
        ]

    def _names(self, key: str) -> tuple[str, str]:
        present, before = self._current_window_key(key), self._previous_window_key(key)
        return self.bridge.prefixed_key(present), self.bridge.prefixed_key(before)

    async def _within(self, question: Any) -> Any:
        """In two halves, so that a loop that stood still looks at what has come meanwhile before it gives up."""
        asking = asyncio.ensure_future(question)
        try:
            for _ in range(2):
                await asyncio.wait([asking], timeout=self._wait_s / 2)
            if asking.done():
                return asking.result()
        finally:
            asking.cancel()
        raise TimeoutError(f"no answer within {self._wait_s * 1_000:g} ms")

    def _lost(self, error: Exception) -> None:
        self.away = str(error) or type(error).__name__
        log.warning("Redis is away: this process counts rate limits for itself", reason=self.away)
        self._settle_locally(self._asked)

    async def _back(self) -> None:
        """Returns when Redis counts again: one that takes no writes would answer a ping."""
        while self.away is not None:
            await asyncio.sleep(random.uniform(PROBE_S, 2 * PROBE_S))  # noqa: S311 -- jitter, not a secret
            try:
                await self._counted([((_NOBODYS,), 0)])
            except Exception as error:
                self.away = str(error) or type(error).__name__
            else:
                self.away = None
        log.info("Redis is back: rate limits are counted for all gateways together")

    def _settle_locally(self, asked: list[_Asked]) -> None:
        for one in asked:
            _settle(one, self._local.take(one.windows, one.cost, _now_ms()))
        asked.clear()


def _settle(asked: _Asked, taken: Taken) -> None:
    if not asked.answer.done():  # he may have gone
        asked.answer.set_result(taken)


def _now_ms() -> int:
    return int(time.monotonic() * 1_000)
