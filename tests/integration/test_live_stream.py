"""Live values as server-sent events: the WebSocket's frames, bounds and doors, and a resume by the last event's id."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from live_gateway import Gateway, Writer
from running import PATIENCE, eventually
from watching import Page

from gateway.live.delivery import Bounds
from gateway.live.doors import Bound
from gateway.live.stream import PATH
from wire import frames
from wire.frames import Bye, CloseCode, Frame, Hello, Snapshot, Update
from wire.metrics import Metric


class Events:
    """What a browser's EventSource makes of it."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id = ""
        self.retry_ms = 0
        self._lines = response.aiter_lines()

    async def next(self) -> Frame:
        """Raises StopAsyncIteration at the end."""
        kind, data = "", ""
        async with asyncio.timeout(20 * PATIENCE):
            while line := await anext(self._lines):
                name, _, value = line.partition(": ")
                match name:
                    case "id":
                        self.last_id = value
                    case "event":
                        kind = value
                    case "data":
                        data = value
                    case "retry":
                        self.retry_ms = int(value)
        if not data:  # a comment
            return await self.next()
        assert json.loads(data)["type"] == kind
        return frames.decode(data)


@asynccontextmanager
async def events(gateway: Gateway, *scopes: str, last_id: str = "", **parameters: Any) -> AsyncIterator[Events]:
    """Behind hello."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", timeout=20 * PATIENCE) as client,
        client.stream("GET", PATH, params={"scope": scopes, **parameters}, headers=headers) as response,
    ):
        found = Events(response)
        if response.status_code == 200:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert isinstance(await found.next(), Hello)
        else:
            await response.aread()
        yield found


@pytest.fixture
def scopes() -> list[str]:
    name = uuid.uuid4().hex[:8]
    return [f"course:{name}", f"team:{name}/日本, t2"]


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[Gateway]:
    async with Gateway(redis_url) as running:
        yield running


@pytest.fixture
async def writer(redis_url: str) -> AsyncIterator[Writer]:
    async with Writer(redis_url) as writer:
        yield writer


async def test_a_snapshot_then_each_update_and_after_a_break_what_was_missed(
    gateway: Gateway, writer: Writer, scopes: list[str]
) -> None:
    page, last_id = Page(*scopes), ""
    await writer.write(*scopes)
    for turn in range(4):
        async with events(gateway, *scopes, last_id=last_id) as source:
            await writer.write(*scopes)
            while any(watched.offset < (turn + 1) * 51 - 49 for watched in page.scopes.values()):
                page.take(frames.encode(await source.next()))
            last_id = source.last_id
        page.lose()
        for _ in range(50):
            await writer.write(*scopes)
    for watched in page.scopes.values():
        assert (watched.snapshots, watched.resumed, watched.skipped) == (1, 3, 0)
        assert watched.updates == watched.offset - 1 or watched.updates == watched.offset - 2


async def test_an_id_that_does_not_fit_begins_anew(gateway: Gateway, writer: Writer, scopes: list[str]) -> None:
    await writer.write(*scopes)
    for last_id in ("nonsense", ",,,", "e:x,e:y"):
        async with events(gateway, *scopes, last_id=last_id) as source:
            assert isinstance(await source.next(), Snapshot)


async def test_only_the_metrics_asked_for_come(gateway: Gateway, writer: Writer, scopes: list[str]) -> None:
    async with events(gateway, scopes[0], metrics=["error_rate"]) as source:
        assert isinstance(await source.next(), Snapshot)
        for _ in range(10):
            await writer.write(scopes[0])
        for _ in range(10):
            update = await source.next()
            assert isinstance(update, Update)
            assert {point.metric for point in update.values} <= {Metric.ERROR_RATE}


@pytest.mark.parametrize(
    ("parameters", "status"),
    [({"scope": ["nonsense"]}, 400), ({}, 400), ({"scope": [f"student:{n}" for n in range(65)]}, 400)],
)
async def test_what_cannot_be_asked_is_said(gateway: Gateway, parameters: dict[str, Any], status: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}") as client:
        answer = await client.get(PATH, params=parameters)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "scope" in answer.json()["detail"]


async def test_a_strange_page_may_not(gateway: Gateway, scopes: list[str]) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}") as client:
        answer = await client.get(PATH, params={"scope": scopes}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


async def test_its_viewers_count_as_others_do(redis_url: str, scopes: list[str]) -> None:
    async with Gateway(redis_url, bound=Bound(2, 2, 2)) as gateway, gateway.watch(scopes[0]):
        async with events(gateway, *scopes), events(gateway, *scopes) as refused:
            assert refused.response.status_code == 503
            assert refused.response.headers["retry-after"]

        async def left() -> bool:
            async with events(gateway, *scopes) as again:
                return again.response.status_code == 200

        await eventually(left, 10, "its place is free again")


async def test_stopping_says_when_to_come_back(redis_url: str, scopes: list[str]) -> None:
    gateway = Gateway(redis_url)
    async with gateway, events(gateway, *scopes) as source:
        assert isinstance(await source.next(), Snapshot)
        stopping = asyncio.create_task(gateway.stop())
        while not isinstance(bye := await source.next(), Bye):
            pass
        assert bye.code is CloseCode.STOPPING
        assert source.retry_ms == bye.reconnect_after_ms
        with pytest.raises(StopAsyncIteration):
            await source.next()  # the end of the answer, as HTTP has it
        await stopping


async def test_who_reads_nothing_is_gone(redis_url: str, writer: Writer, scopes: list[str]) -> None:
    async with Gateway(redis_url, bounds=Bounds(behind_s=1)) as gateway, events(gateway, scopes[0]):

        async def gone() -> bool:
            await writer.write(*[scopes[0]] * 10, padding=20_000)
            return gateway.feed.viewers == 0 and gateway.connections == 0

        await eventually(gone, 30, "aborted")
