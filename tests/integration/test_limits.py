"""Rate limits of gateways that share a Redis: exact together, and each for itself while Redis is away or silent."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.asyncio as redis
import served
import structlog
from doors import URL, AtTheDoor, at_the_door, make_topics, problem
from gateway_process import serving
from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from live_gateway import RATES, Gateway
from running import PATIENCE, eventually
from websockets.exceptions import InvalidStatus

from gateway import schema
from gateway.database import connected
from gateway.security import keys
from gateway.security.shared_windows import AT_ONCE, PREFIX, SharedWindows
from gateway.security.windows import Window
from stack.kafka import Kafka
from stack.valkey import Valkey

WAIT_S = 5.0  # so long that a busy machine does not look like a silent Redis


@asynccontextmanager
async def counting(redis_url: str, wait_s: float = WAIT_S * PATIENCE) -> AsyncIterator[SharedWindows]:
    windows = SharedWindows(redis_url, wait_s)
    await windows.start()
    try:
        yield windows
    finally:
        await windows.stop()


def window(rate: str, of: str = "key:a") -> Window:
    return Window("events", of, parse(rate))


async def test_those_who_share_a_redis_let_exactly_the_limit_through(redis_url: str) -> None:
    asked = window("1000/hour")
    async with counting(redis_url) as one, counting(redis_url) as other:
        taken = await asyncio.gather(*(each.take([asked], 7) for _ in range(10 * AT_ONCE) for each in (one, other)))
        assert (one.away, other.away) == (None, None)
    assert sum(each.fits for each in taken) == 1000 // 7
    assert max(each.counts[0].current for each in taken) == 1000 // 7 * 7


async def test_it_is_counted_in_all_windows_or_in_none(redis_url: str) -> None:
    wide, narrow = window("100/hour", "192.0.2.1"), window("3/minute")
    async with counting(redis_url) as windows:
        taken = [await windows.take([wide, narrow], 1) for _ in range(5)]
    assert [each.fits for each in taken] == [True] * 3 + [False] * 2
    assert [count.current for count in taken[-1].counts] == [3, 3]


async def test_limits_reads_and_adds_to_what_we_count_and_it_slides(redis_url: str) -> None:
    asked = window("10/hour")
    async with counting(redis_url) as windows, redis.from_url(redis_url) as client:
        pool: dict[str, Any] = {"connection_pool": client.connection_pool}
        theirs = SlidingWindowCounterRateLimiter(
            RedisStorage("async+redis://", implementation="redispy", key_prefix=PREFIX, **pool)
        )
        assert (await windows.take([asked], 3)).fits
        assert await theirs.hit(asked.rate, asked.policy, asked.of, cost=4)
        assert (await windows.take([asked], 3)).counts[0].current == 10
        assert not await theirs.hit(asked.rate, asked.policy, asked.of)
        assert not (await windows.take([asked], 1)).fits

        # An hour and a half later: of the present window half is left.
        assert await client.pexpire(f"{PREFIX}:{{{asked.key}}}", 1_800_000)
        taken = await windows.take([asked], 4)
        assert (taken.fits, taken.counts[0].previous, taken.counts[0].current) == (True, 10, 4)
        assert taken.counts[0].room(asked) in (1, 2)  # the moment may be past the half
        assert (await theirs.get_window_stats(asked.rate, asked.policy, asked.of)).remaining in (1, 2)
        # Another hour and a half later: half of those four.
        assert await client.pexpire(f"{PREFIX}:{{{asked.key}}}", 1_800_000)
        assert await theirs.hit(asked.rate, asked.policy, asked.of, cost=8)
        assert (await windows.take([asked], 2)).counts[0][:2] == (4, 8)


async def test_away_it_counts_here_says_so_once_and_goes_back(servers_dir: Path, cache_dir: Path) -> None:
    valkey = Valkey(servers_dir / "valkey-of-limits", cache=cache_dir)
    valkey.start()
    asked = window("4/hour")
    try:
        with structlog.testing.capture_logs() as log:
            async with counting(valkey.url) as windows:

                async def back() -> bool:
                    return windows.away is None

                assert (await windows.take([asked], 3)).fits
                valkey.kill()
                assert [(await windows.take([asked], 1)).fits for _ in range(5)] == [True] * 4 + [False]  # here
                assert windows.away
                valkey.start()
                await eventually(back, 20, "Redis is back")
                taken = await windows.take([asked], 1)  # its script is to be loaded again
                assert windows.away is None
                assert taken.counts[0].current in (1, 4)  # 1: killed before what it was told was on disk
    finally:
        valkey.stop()
    assert [line["log_level"] for line in log if "rate limits" in line["event"]] == ["warning", "info"]


async def test_a_silent_redis_is_waited_for_once(servers_dir: Path, cache_dir: Path) -> None:
    valkey = Valkey(servers_dir / "valkey-silent", cache=cache_dir)
    valkey.start()
    asked = window("1000/hour")
    try:
        async with counting(valkey.url, wait_s=0.1) as windows:

            async def back() -> bool:
                return windows.away is None

            await eventually(back, 20, "asked, and answered")
            os.kill(valkey.pid or 0, signal.SIGSTOP)
            async with asyncio.timeout(30 * PATIENCE):
                taken = await asyncio.gather(*(windows.take([asked], 1) for _ in range(200)))
            assert all(each.fits for each in taken)
            assert windows.away == "no answer within 100 ms"
            waiting = asyncio.ensure_future(windows.take([asked], 1))
            await asyncio.sleep(0)
            assert waiting.done()  # nobody waits any more
            os.kill(valkey.pid or 0, signal.SIGCONT)
            await eventually(back, 20, "Redis is back")
    finally:
        os.kill(valkey.pid or 0, signal.SIGCONT)
        valkey.stop()


async def test_a_redis_that_takes_no_writes_is_away_until_it_does(servers_dir: Path, cache_dir: Path) -> None:
    valkey = Valkey(servers_dir / "valkey-reads-only", cache=cache_dir)
    valkey.start()
    asked = window("4/hour")
    try:
        with structlog.testing.capture_logs() as log:
            async with counting(valkey.url) as windows, redis.from_url(valkey.url) as client:

                async def calls() -> int:
                    return int((await client.info("commandstats"))["cmdstat_evalsha"]["calls"])

                async def probed_twice() -> bool:
                    return await calls() >= before + 2

                async def back() -> bool:
                    return windows.away is None

                assert (await windows.take([asked], 3)).fits
                await client.config_set("min-replicas-to-write", 1)
                assert (await windows.take([asked], 1)).fits
                before = await calls()
                await eventually(probed_twice, 20, "asked whether it counts again")
                assert "NOREPLICAS" in str(windows.away)
                await client.config_set("min-replicas-to-write", 0)
                await eventually(back, 20, "it counts again")
                assert (await windows.take([asked], 1)).counts[0].current == 4
    finally:
        valkey.stop()
    assert [line["log_level"] for line in log if "rate limits" in line["event"]] == ["warning", "info"]


async def test_two_gateways_let_exactly_the_limit_of_events_through(
    kafka: Kafka, postgres_url: str, redis_url: str
) -> None:
    await make_topics(kafka.address)
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        key = await keys.create(database, "lms", rate="150/hour")
    settings = {
        "CLASSPULSE_KAFKA": kafka.address,
        "CLASSPULSE_POSTGRES_URL": postgres_url,
        "CLASSPULSE_REDIS_URL": redis_url,
        "CLASSPULSE_RATE_LIMIT_WAIT_MS": "5000",
    }
    event = {"student_id": "s1", "course_id": "py101", "kind": "code_run", "occurred_at": "2026-01-15T09:30:00+09:00"}
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            port, _process = await stack.enter_async_context(serving(**settings))
            client = httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=60
            )
            clients.append(await stack.enter_async_context(client))

        async def ready() -> bool:
            return all([(await client.get("/readyz")).status_code == 200 for client in clients])

        await eventually(ready, 60, "ready")
        answers = await asyncio.gather(*(client.post(URL, json=[event] * 3) for _ in range(50) for client in clients))
        reasons = [(await client.get("/api/v1/health")).json()["reasons"] for client in clients]
    assert not [reason for told in reasons for reason in told if "rate limits" in reason]
    assert Counter(answer.status_code for answer in answers) == {202: 50, 429: 50}
    assert min(_left(answer) for answer in answers if answer.status_code == 202) == 0


def _left(answer: httpx.Response) -> int:
    return int(answer.headers["ratelimit"].partition(";r=")[2].partition(";")[0])


async def test_health_says_that_each_gateway_counts_for_itself() -> None:
    async with served.gateway(served.settings()) as client:

        async def told() -> Any:
            reasons = (await client.get("/api/v1/health")).json()["reasons"]
            return [reason for reason in reasons if reason.startswith("rate limits: each gateway counts for itself")]

        await eventually(told, 20, "said")
        answer = await client.get("/api/v1/health")
        assert answer.headers["ratelimit"].startswith('"reads-60s";r=')


@pytest.fixture
async def door(with_topics: str, postgres_url: str, redis_url: str) -> AsyncIterator[AtTheDoor]:
    async with at_the_door(with_topics, postgres_url, redis_url=redis_url, rate_limit_events="20/hour") as at:
        await at.opened()
        yield at


async def test_events_are_counted_not_requests_and_nothing_of_what_is_refused_goes_in(door: AtTheDoor) -> None:
    accepted = await door.post([door.event(task_id="in")] * 12 + [{}])  # one cost the opening at least
    assert accepted.status_code == 202
    refused = await door.post([door.event(task_id="out")] * 8)
    assert "more than 20 per 1 hour" in problem(refused, 429)["detail"]
    assert int(refused.headers["retry-after"]) > 60
    assert "413" in str(problem(await door.post([door.event(task_id="out")] * 21), 413)["status"])
    assert {event.task_id for event in await door.published()} == {None, "in"}


async def test_a_body_that_cannot_be_used_costs_one(door: AtTheDoor) -> None:
    before = _left(await door.post(door.event()))
    assert _left(await door.post(b"{")) == before - 1


async def test_what_a_key_reads_is_counted_for_it_too(door: AtTheDoor) -> None:
    async with connected(door.postgres_url, 5) as database:
        key = await keys.create(database, "ops", role=keys.Role.ADMIN)
    answer = await door.client.get("/api/v1/admin/dead-letters", headers={"Authorization": f"Bearer {key}"})
    assert answer.headers["ratelimit-policy"] == '"reads-60s";q=1200;w=60, "reads-per-user-60s";q=600;w=60'


async def test_handshakes_of_an_address_are_counted(redis_url: str) -> None:
    async with Gateway(redis_url, rates=RATES._replace(handshakes="2/hour")) as gateway:
        for _ in range(2):
            async with gateway.watch("course:py101"):
                pass
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.connect():
                pass
    response = refused.value.response
    assert (response.status_code, response.headers["content-type"]) == (429, "application/problem+json")
    assert int(response.headers["retry-after"]) > 60
