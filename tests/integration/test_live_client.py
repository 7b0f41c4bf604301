"""clients/python against the real endpoint: whatever breaks, it is given each update once."""

import asyncio
import contextlib
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import redis.asyncio as redis
from live_gateway import Gateway, Writer
from running import PATIENCE, eventually
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from clients.python.live import LiveClient, RefusedError
from gateway.live.connection import Connection
from wire import channels, frames
from wire.frames import Frame, Reason, Snapshot, Stale, Update
from wire.metrics import Metric

CLIENTS = 40


class Follower:
    """A client, what it was given of each scope, and how often its connection was broken off."""

    def __init__(self, url: str, *scopes: str, **options: Any) -> None:
        self.client = LiveClient(url, scopes, **options)
        self.given: dict[str, list[Frame]] = defaultdict(list)
        self.breaks = 0
        self._task: asyncio.Task[None] | None = None

    async def _follow(self) -> None:
        async for frame in self.client.frames():
            self.given[frame.scope].append(frame)

    async def __aenter__(self) -> "Follower":
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def offset(self, scope: str) -> int:
        place = self.client.places[scope]
        return -1 if place is None else place[1]

    async def break_off(self, times: int) -> None:
        """In whatever moment: while it connects, is greeted, resumes, or reads."""
        for _ in range(times):
            before = self.client.connections
            await asyncio.sleep(random.uniform(0, 0.3))
            self.client.drop()
            self.breaks += 1

            async def back(before: int = before) -> bool:
                return self.client.connections > before

            await eventually(back, 30, "connected again")


@pytest.fixture
def scopes() -> list[str]:
    name = uuid.uuid4().hex[:8]
    return [f"course:{name}", f"team:{name}/t1", f"team:{name}/t2"]


@pytest.fixture(params=[Connection, WebSocketsSansIOProtocol], ids=["fast", "plain"])
async def gateway(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    async with Gateway(redis_url, ws=request.param) as running:
        yield running


@pytest.fixture
async def writer(redis_url: str) -> AsyncIterator[Writer]:
    async with Writer(redis_url) as writer:
        yield writer


async def stream(redis_url: str, scope: str) -> dict[int, Update]:
    async with redis.from_url(redis_url) as client:
        entries = await client.xrange(channels.stream(scope))
    updates = [frames.decode(fields[b"frame"]) for _, fields in cast(Any, entries)]
    return {update.offset: update for update in updates if isinstance(update, Update)}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("ws", "breaks"), [(Connection, 1_000), (WebSocketsSansIOProtocol, 200)], ids=["fast", "plain"]
)
async def test_a_thousand_breaks_leave_no_gap_and_no_duplicate(
    ws: type[asyncio.Protocol], breaks: int, writer: Writer, redis_url: str, scopes: list[str]
) -> None:
    done = asyncio.Event()

    async def write() -> None:
        while not done.is_set() and writer.written < 900 * len(scopes):  # what the streams keep
            await writer.write(*scopes)
            await asyncio.sleep(0.15)

    async with contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(Gateway(redis_url, ws=ws))
        followers = [
            await stack.enter_async_context(Follower(gateway.url, *random.sample(scopes, 1 + number % 3)))
            for number in range(CLIENTS)
        ]
        writing = asyncio.create_task(write())
        await asyncio.gather(*(follower.break_off(breaks // CLIENTS) for follower in followers))
        done.set()
        await writing
        truth = {scope: await stream(redis_url, scope) for scope in scopes}

        async def caught_up() -> bool:
            return all(
                follower.offset(scope) == max(truth[scope])
                for follower in followers
                for scope in follower.client.places
            )

        await eventually(caught_up, 30, "everybody has everything")
    assert sum(follower.breaks for follower in followers) == breaks
    for follower in followers:
        for scope in follower.client.places:
            follows_the_stream(follower.given[scope], truth[scope])


def follows_the_stream(given: list[Frame], truth: dict[int, Update]) -> None:
    """Each update once, in order, as it lies in the stream. A snapshot says what all updates up to its own make: one to
    begin with, and one each time the gateway has read the scope anew, as when Redis seems away on a busy machine."""
    assert isinstance(given[0], Snapshot)
    at = -1
    for frame in given:
        if isinstance(frame, Snapshot):
            assert frame.reason is (Reason.NONE if at < 0 else Reason.REREAD)
            assert frame.offset >= at
            made = {point.field: point for offset in range(1, frame.offset + 1) for point in truth[offset].values}
            assert {point.field: point for point in frame.values} == made
            at = frame.offset
        elif isinstance(frame, Update):
            at += 1
            assert frame == truth[at]
    assert at == max(truth)


async def test_it_goes_on_after_the_gateway_was_stopped(redis_url: str, writer: Writer, scopes: list[str]) -> None:
    scope = scopes[0]
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(Gateway(redis_url))
        follower = await stack.enter_async_context(Follower(first.url, scope))
        await writer.write(scope)

        async def has(offset: int) -> bool:
            return follower.offset(scope) == offset

        await eventually(lambda: has(1), 10, "told")
        await first.stop()
        await writer.write(*[scope] * 50)
        await stack.enter_async_context(Gateway(redis_url, port=first.port))
        await eventually(lambda: has(51), 20, "told what it missed")
    follows_the_stream(follower.given[scope], await stream(redis_url, scope))


async def test_it_says_stale_and_asks_only_for_what_is_wanted(
    gateway: Gateway, writer: Writer, scopes: list[str]
) -> None:
    wanted = Metric.HELP_REQUESTS_OPEN
    async with Follower(gateway.url, scopes[0], metrics=[wanted]) as follower:

        async def told() -> bool:
            await writer.write(scopes[0])
            given = [frame for frame in follower.given[scopes[0]] if isinstance(frame, Update) and frame.values]
            return len(given) > 3

        await eventually(told, 10, "told")
    for frame in follower.given[scopes[0]]:
        assert isinstance(frame, Snapshot | Update | Stale)
        assert isinstance(frame, Stale) or {point.metric for point in frame.values} <= {wanted}


async def test_what_will_never_be_is_raised(gateway: Gateway) -> None:
    for client, said in (
        (LiveClient(gateway.url, ["nonsense"]), "bad_scope"),
        (LiveClient(gateway.url.replace("/ws/", "/no/"), ["course:c"]), "40"),
    ):
        with pytest.raises(RefusedError, match=said):
            async with asyncio.timeout(10 * PATIENCE):
                await anext(client.frames())
