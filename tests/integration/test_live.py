"""Live updates whole: the real writer, a real Valkey, a real uvicorn, and viewers who check every frame."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis.asyncio as redis
from live_gateway import Gateway, Writer, say
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from running import PATIENCE, eventually
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from watching import Page
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.typing import Subprotocol

from gateway.live.connection import Connection
from gateway.live.delivery import Bounds
from gateway.live.doors import Bound
from gateway.live.feed import Feed
from gateway.live.session import MESSAGE_BYTES_MAX, MESSAGES_AT_ONCE, SUBSCRIPTIONS_MAX, Session
from stack.valkey import Valkey
from wire import channels, frames, metrics
from wire.frames import (
    PROTOCOL,
    Ack,
    Bye,
    CloseCode,
    Error,
    ErrorCode,
    Frame,
    Message,
    Ping,
    Pong,
    Reason,
    Snapshot,
    Stale,
    Subscribe,
    Unsubscribe,
    Update,
)
from wire.metrics import Metric, MetricPoint


@pytest.fixture
def scopes() -> list[str]:
    """Nobody else's: pub/sub knows no databases."""
    name = uuid.uuid4().hex[:8]
    return [f"course:{name}", f"team:{name}/t1", f"team:{name}/日本 &t2", f"student:{name}"]


@pytest.fixture
def scope(scopes: list[str]) -> str:
    return scopes[0]


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator["redis.Redis"]:
    async with _client(redis_url) as client:
        yield client


def _client(url: str) -> "redis.Redis":
    """Tries again, because tests kill its connection."""
    return redis.from_url(url, socket_timeout=5, retry=Retry(NoBackoff(), 3))


@pytest.fixture
async def writer(redis_url: str) -> AsyncIterator[Writer]:
    async with Writer(redis_url) as writer:
        yield writer


@pytest.fixture(params=[Connection, WebSocketsSansIOProtocol], ids=["fast", "plain"])
def ws(request: pytest.FixtureRequest) -> type[asyncio.Protocol]:
    """Ours, written to directly; and uvicorn's own, where that cannot be."""
    return cast("type[asyncio.Protocol]", request.param)


@pytest.fixture
async def gateway(redis_url: str, ws: type[asyncio.Protocol]) -> AsyncIterator[Gateway]:
    async with Gateway(redis_url, ws=ws) as running:
        yield running


@pytest.fixture
def own_valkey(servers_dir: Path, cache_dir: Path) -> Iterator[Valkey]:
    """One of this test's own: to be stopped, killed and hung."""
    server = Valkey(servers_dir / f"valkey-{uuid.uuid4().hex[:8]}", cache=cache_dir)
    yield server
    server.kill()
    shutil.rmtree(server.home, ignore_errors=True)


async def received(connection: ClientConnection, page: Page, within_s: float = 10) -> Frame:
    return page.take(await asyncio.wait_for(connection.recv(), within_s * PATIENCE))


async def known(store: Any, scope: str) -> tuple[str, int, dict[str, MetricPoint]]:
    """What Redis has now, read by other code than the gateway's."""
    head = await store.hgetall(channels.head(scope))
    now = await store.hgetall(channels.now(scope))
    values = {name.decode(): metrics.decode_point(data) for name, data in now.items()}
    return head.get(b"epoch", b"").decode(), int(head.get(b"offset", 0)), values


async def caught_up(connection: ClientConnection, page: Page, store: Any) -> None:
    """Reads until the page knows what Redis has. Nothing may be written meanwhile."""
    truth = {scope: await known(store, scope) for scope in page.scopes}
    while truth != {scope: (each.epoch, each.offset, each.values) for scope, each in page.scopes.items()}:
        await received(connection, page)


# --- joining ---


async def test_a_snapshot_and_then_each_update(gateway: Gateway, writer: Writer, store: Any, scopes: list[str]) -> None:
    await writer.write(*scopes)
    await writer.write(*scopes)
    page = Page(*scopes)
    async with gateway.watch(*scopes) as connection:
        for _ in scopes:
            frame = await received(connection, page)
            assert isinstance(frame, Snapshot)
            assert (frame.epoch, frame.offset, {point.field: point for point in frame.values}) == await known(
                store, frame.scope
            )
        for _ in range(5):
            await writer.write(*scopes)
        await caught_up(connection, page, store)
    for watched in page.scopes.values():
        assert (watched.snapshots, watched.updates, watched.skipped) == (1, 5, 0)


async def test_a_scope_nobody_ever_wrote_begins_empty(gateway: Gateway, writer: Writer, scope: str) -> None:
    page = Page(scope)
    async with gateway.watch(scope) as connection:
        assert await received(connection, page) == Snapshot(scope=scope, epoch="", offset=0, values=[])
        await writer.write(scope)
        first = await received(connection, page)
        assert isinstance(first, Update)
        assert first.epoch
        assert first.offset == 1


async def test_a_frame_arrives_as_it_was_published(gateway: Gateway, writer: Writer, store: Any, scope: str) -> None:
    async with gateway.watch(scope) as connection:
        assert isinstance(frames.decode(await connection.recv()), Snapshot)
        await writer.write(scope)
        frame = cast(str, await connection.recv())
    ((_, entry),) = await store.xrange(channels.stream(scope))
    assert frame.encode() == entry[b"frame"]


async def test_a_new_epoch_is_a_fresh_snapshot(gateway: Gateway, writer: Writer, store: Any, scope: str) -> None:
    page = Page(scope)
    async with gateway.watch(scope) as connection:
        await received(connection, page)
        for _ in range(3):
            await writer.write(scope)
        await caught_up(connection, page, store)
        before = page.scopes[scope].epoch
        await store.flushdb()
        await writer.write(scope)
        await caught_up(connection, page, store)
        assert page.scopes[scope].epoch not in ("", before)
        assert page.scopes[scope].snapshots == 2
        assert [each.reason for each in page.frames if isinstance(each, Snapshot)] == [Reason.NONE, Reason.EPOCH]
        await writer.write(scope)
        assert isinstance(await received(connection, page), Update)


async def test_what_is_no_update_does_not_disturb(gateway: Gateway, writer: Writer, store: Any, scope: str) -> None:
    await writer.write(scope)
    await store.hset(channels.now(scope), "nonsense", "{")
    page = Page(scope)
    async with gateway.watch(scope) as connection:
        await received(connection, page)
        for junk in (b"\xff\x00", b"[" * 10_000, b'{"type":"stale","scope":"course:c","since_ms":1}'):
            await store.publish(channels.live(scope), junk)
        await writer.write(scope)
        await store.hdel(channels.now(scope), "nonsense")
        await caught_up(connection, page, store)


async def test_the_subscription_ends_with_the_last_viewer(gateway: Gateway, store: Any, scope: str) -> None:
    async def subscribers() -> int:
        ((_, count),) = await store.pubsub_numsub(channels.live(scope))
        return int(count)

    async def nobody() -> bool:
        return await subscribers() == 0

    async with gateway.watch(scope) as one:
        await one.recv()
        async with gateway.watch(scope) as other:
            await other.recv()
            assert await subscribers() == 1, "one for both"
    await eventually(nobody, 10, "unsubscribed")
    assert gateway.feed.viewers == 0
    async with gateway.watch(scope) as again:
        assert isinstance(frames.decode(await again.recv()), Snapshot)


async def test_leaving_and_coming_at_once_misses_nothing(
    gateway: Gateway, writer: Writer, store: Any, scope: str
) -> None:
    """Each time the last viewer goes and another comes, the scope is forgotten, and read anew on a confirmation."""
    for _ in range(30):
        page = Page(scope)
        async with gateway.watch(scope) as connection:
            await writer.write(scope)
            await caught_up(connection, page, store)


# --- faults ---


async def test_no_gap_and_no_duplicate_whatever_breaks(
    gateway: Gateway, writer: Writer, store: Any, scopes: list[str]
) -> None:
    """Viewers who come and go, most of them by an aborted connection, killed links to Redis, and a flushed Redis."""
    names = [*scopes[:2], scopes[3]]
    stay, quiet = asyncio.Event(), asyncio.Event()
    pages = [Page(*names[: 1 + n % 3]) for n in range(12)]
    connections = 0

    async def write() -> None:
        while not stay.is_set() or gateway.feed.viewers < len(pages):
            await writer.write(*names)
            await asyncio.sleep(random.uniform(0, 0.02))

    async def view(page: Page) -> None:
        """Breaks off after some frames and comes back, until told to stay; then stays until it knows all there is."""
        nonlocal connections
        while True:
            page.lose()
            async with gateway.watch(*page.scopes, page=page) as connection:
                connections += 1
                for _ in range(random.randint(1, 80)):
                    await received(connection, page)
                    if stay.is_set():
                        break
                else:
                    if random.random() < 0.8:
                        connection.transport.abort()
                    continue
                while not quiet.is_set():
                    with contextlib.suppress(TimeoutError):
                        await received(connection, page, within_s=0.2)
                return await caught_up(connection, page, store)

    viewers = [asyncio.create_task(view(page)) for page in pages]
    writing = asyncio.create_task(write())
    for turn in range(8):
        at = writer.written

        async def more(at: int = at) -> bool:
            return writer.written > at + 60

        await eventually(more, 30, "the class goes on")
        if turn == 4:
            await store.flushdb()
        else:
            await store.execute_command("CLIENT", "KILL", "TYPE", "normal" if turn == 6 else "pubsub")
    stay.set()
    await asyncio.wait_for(writing, 30 * PATIENCE)
    quiet.set()
    await asyncio.wait_for(asyncio.gather(*viewers), 30 * PATIENCE)
    assert connections > 2 * len(pages)
    assert sum(watched.resumed for page in pages for watched in page.scopes.values()) > len(pages)


@pytest.mark.parametrize("fault", ["killed", "hung"])
async def test_redis_away_is_told_and_ended_by_a_fresh_snapshot(own_valkey: Valkey, scope: str, fault: str) -> None:
    own_valkey.start()
    page, late = Page(scope), Page(scope)
    async with (
        Gateway(own_valkey.url) as gateway,
        Writer(own_valkey.url) as writer,
        _client(own_valkey.url) as store,
        gateway.watch(scope) as connection,
    ):
        await writer.write(scope)
        await caught_up(connection, page, store)
        before_ms = time.time() * 1000
        if fault == "killed":
            own_valkey.kill()
        else:
            os.kill(own_valkey.pid or 0, signal.SIGSTOP)
        stale = await received(connection, page, within_s=2)
        assert isinstance(stale, Stale)
        # Redis was heard of at the latest when it was stopped, at the earliest a silence before.
        assert before_ms - 5_000 * PATIENCE < stale.since_ms <= time.time() * 1000
        async with gateway.watch(scope) as latecomer:
            assert isinstance(await received(latecomer, late), Snapshot)
            assert await received(latecomer, late) == stale
            assert late.scopes[scope].values == page.scopes[scope].values
            if fault == "killed":
                await asyncio.to_thread(own_valkey.start)
            else:
                os.kill(own_valkey.pid or 0, signal.SIGCONT)
            for watching, who in ((connection, page), (latecomer, late)):
                assert isinstance(await received(watching, who), Snapshot)
            await writer.write(scope)
            for watching, who in ((connection, page), (latecomer, late)):
                await caught_up(watching, who, store)


async def test_redis_away_at_the_start(own_valkey: Valkey, scope: str) -> None:
    page = Page(scope)
    async with Gateway(own_valkey.url) as gateway, gateway.watch(scope) as connection:
        assert isinstance(await received(connection, page, within_s=2), Stale)
        await asyncio.to_thread(own_valkey.start)
        assert await received(connection, page) == Snapshot(scope=scope, epoch="", offset=0, values=[])


# --- slow viewers ---


class RawViewer:
    """A viewer that reads only when it is told to, from a small receive buffer."""

    def __init__(self, gateway: Gateway, *scopes: str) -> None:
        self._scopes = scopes
        self._port = gateway.port
        self._data = b""
        self.close_code: int | None = None

    async def __aenter__(self) -> "RawViewer":
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        request = (
            f"GET /ws/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await loop.sock_sendall(self._socket, request.encode())
        while b"\r\n\r\n" not in self._data:
            assert await self._receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        assert b" 101 " in head.splitlines()[0]
        assert await self.text()  # hello
        for scope in self._scopes:
            said = WireFrame(Opcode.TEXT, frames.encode(Subscribe(scope=scope)))
            await loop.sock_sendall(self._socket, said.serialize(mask=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def text(self) -> bytes | None:
        """The next text frame; None at the end, then `close_code` says which."""
        while True:
            size, start = self._data[1] if len(self._data) > 1 else 0, 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(self._data[2:start], "big")
            if len(self._data) < max(start + size, 2):
                if not await self._receive():
                    return None
                continue
            opcode, payload = self._data[0] & 15, self._data[start : start + size]
            self._data = self._data[start + size :]
            if opcode == Opcode.CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big")
                answer = WireFrame(Opcode.CLOSE, payload[:2]).serialize(mask=True)
                await asyncio.get_running_loop().sock_sendall(self._socket, answer)
            if opcode == Opcode.TEXT:
                return payload

    async def _receive(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            data = await asyncio.wait_for(loop.sock_recv(self._socket, 65_536), 10 * PATIENCE)
        except ConnectionResetError:
            return False
        self._data += data
        return bool(data)


async def test_a_slow_viewer_gets_the_newest_of_each_key_and_loses_count_of_nothing(
    gateway: Gateway, writer: Writer, store: Any, scope: str
) -> None:
    page, slow_page = Page(scope), Page(scope)
    async with gateway.watch(scope) as quick, RawViewer(gateway, scope) as slow:
        for _ in range(300):  # 6 MB: more than kernel and process take
            await writer.write(scope, padding=20_000)
        await caught_up(quick, page, store)
        truth = await known(store, scope)
        watched = slow_page.scopes[scope]
        while (watched.epoch, watched.offset, watched.values) != truth:
            text = await slow.text()
            assert text is not None, f"closed with {slow.close_code}"
            slow_page.take(text)
        assert watched.skipped > 0
        assert watched.updates < 300
        await writer.write(scope)
        text = await slow.text()
        assert text is not None
        assert isinstance(slow_page.take(text), Update)


async def test_a_viewer_who_takes_nothing_is_closed_with_3008(redis_url: str, writer: Writer, scope: str) -> None:
    async with Gateway(redis_url, bounds=Bounds(behind_s=1)) as gateway, RawViewer(gateway, scope) as stalled:

        async def cut_off() -> bool:
            await writer.write(*[scope] * 10, padding=4_000)
            return gateway.feed.viewers == 0 and gateway.connections == 1

        await _joined(gateway, 1)
        await eventually(cut_off, 20, "cut off, and waiting for its close frame to be read")
        page = Page(scope)
        while (text := await stalled.text()) is not None:
            bye = page.take(text)
        assert isinstance(bye, Bye)
        assert bye.code is CloseCode.SLOW
        assert stalled.close_code == 3008


async def test_a_viewer_who_never_reads_again_holds_no_connection(redis_url: str, writer: Writer, scope: str) -> None:
    async with Gateway(redis_url, bounds=Bounds(behind_s=1)) as gateway, RawViewer(gateway, scope):

        async def gone() -> bool:
            await writer.write(*[scope] * 10, padding=4_000)
            return gateway.connections == 0

        await _joined(gateway, 1)
        await eventually(gone, 20, "the connection is aborted")


async def test_too_many_bytes_before_a_viewer_end_it(redis_url: str, writer: Writer, scope: str) -> None:
    """As a resume or a snapshot may bring them at once."""
    bounds = Bounds(behind_s=600, pending_bytes=20_000)
    async with Gateway(redis_url, bounds=bounds) as gateway, RawViewer(gateway, scope):

        async def gone() -> bool:
            await writer.write(scope, padding=60_000)
            return gateway.connections == 0

        await _joined(gateway, 1)
        await eventually(gone, 20, "closed")


async def test_who_reads_and_never_says_so_is_closed_and_who_says_so_is_not(
    redis_url: str, ws: type[asyncio.Protocol], writer: Writer, scope: str
) -> None:
    """The kernels' buffers would hide for a minute that somebody does not read."""
    page, silent_page = Page(scope), Page(scope)
    async with Gateway(redis_url, ws=ws, bounds=Bounds(behind_s=2)) as gateway, gateway.watch(scope) as says:
        async with gateway.watch(scope) as silent:
            await _joined(gateway, 2)

            async def closed() -> bool:
                await writer.write(scope)
                with contextlib.suppress(TimeoutError):
                    frame = await received(says, page, within_s=0.3)
                    if isinstance(frame, Update):
                        await say(says, Ack(scope=scope, offset=frame.offset))
                return gateway.feed.viewers == 1

            await eventually(closed, 20, "closed")
            assert await closed_with(silent, silent_page) == 3008
            last = silent_page.frames[-1]
            assert isinstance(last, Bye)
            assert last.code is CloseCode.SLOW
        await writer.write(scope)
        await received(says, page)


async def test_a_half_open_connection_is_gone_after_two_heartbeats(redis_url: str) -> None:
    async with Gateway(redis_url, heartbeat_s=0.3) as gateway, RawViewer(gateway):  # answers no ping

        async def gone() -> bool:
            return gateway.connections == 0

        await _joined(gateway, 1)
        await eventually(gone, 10, "the connection is aborted")


async def _joined(gateway: Gateway, viewers: int) -> None:
    async def there() -> bool:
        return gateway.feed.viewers == viewers

    await eventually(there, 10, "joined")


# --- who is turned away ---


async def answer(connection: ClientConnection, message: Message | str) -> Frame:
    """The next frame after something was said."""
    await connection.send(message if isinstance(message, str) else frames.encode(message).decode())
    return frames.decode(await asyncio.wait_for(connection.recv(), 10 * PATIENCE))


@pytest.mark.parametrize("scope_", ["", "class:c", "team:t", "course:"])
async def test_a_bad_scope_is_told_and_the_connection_goes_on(gateway: Gateway, scope: str, scope_: str) -> None:
    async with gateway.watch() as connection:
        told = await answer(connection, Subscribe(scope=scope_))
        assert isinstance(told, Error)
        assert (told.code, told.retry) == (ErrorCode.BAD_SCOPE, False)
        assert isinstance(await answer(connection, Subscribe(scope=scope)), Snapshot)


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ("{", ""),
        ('{"type":"dance"}', "dance"),
        ('{"type":"subscribe"}', "scope"),
        ('{"type":"measured","frame_ms":[-1],"paint_ms":[]}', "frame_ms"),
        ('{"type":"measured","frame_ms":[],"paint_ms":[86400001]}', "paint_ms"),
        (f'{{"type":"measured","frame_ms":{[1] * 65},"paint_ms":[]}}', "frame_ms"),
    ],
)
async def test_a_bad_message_is_told_and_the_connection_goes_on(gateway: Gateway, said: str, where: str) -> None:
    async with gateway.watch() as connection:
        told = await answer(connection, said)
        assert isinstance(told, Error)
        assert told.code is ErrorCode.BAD_MESSAGE
        assert where in told.message
        assert isinstance(await answer(connection, Ping()), Pong)


async def test_one_scope_too_many_is_told(gateway: Gateway, scope: str) -> None:
    many = [f"student:{scope}-{number}" for number in range(SUBSCRIPTIONS_MAX)]
    async with gateway.watch(*many) as connection:
        for _ in many:
            assert isinstance(frames.decode(await connection.recv()), Snapshot)
        told = await answer(connection, Subscribe(scope=scope))
        assert isinstance(told, Error)
        assert told.code is ErrorCode.TOO_MANY_SUBSCRIPTIONS
        await say(connection, Unsubscribe(scope=many[0]))
        assert isinstance(await answer(connection, Subscribe(scope=scope)), Snapshot)


async def test_what_is_unsubscribed_comes_no_more(gateway: Gateway, writer: Writer, scopes: list[str]) -> None:
    page = Page(*scopes)
    async with gateway.watch(*scopes) as connection:
        for _ in scopes:
            await received(connection, page)
        await say(connection, Unsubscribe(scope=scopes[0]))
        assert isinstance(await answer(connection, Ping()), Pong)
        await writer.write(*scopes)
        for _ in scopes[1:]:
            frame = await received(connection, page)
            assert isinstance(frame, Update)
            assert frame.scope != scopes[0]
        assert isinstance(await answer(connection, Ping()), Pong)


async def test_only_the_metrics_asked_for_come(gateway: Gateway, writer: Writer, store: Any, scope: str) -> None:
    page, wanted = Page(scope), Metric.ERROR_RATE
    async with gateway.watch() as connection:
        await say(connection, Subscribe(scope=scope, metrics=[wanted]))
        await received(connection, page)
        for _ in range(20):
            await writer.write(scope)
        _, offset, values = await known(store, scope)
        while page.scopes[scope].offset != offset:
            await received(connection, page)
        assert page.scopes[scope].values == {field: each for field, each in values.items() if each.metric is wanted}


@pytest.mark.parametrize(
    ("bound", "code"), [(Bound(2, 100, 100), CloseCode.FULL), (Bound(100, 2, 100), CloseCode.FULL_ADDRESS)]
)
async def test_one_viewer_too_many_is_told_when_to_come_back(
    redis_url: str, ws: type[asyncio.Protocol], scope: str, bound: Bound, code: CloseCode
) -> None:
    async with Gateway(redis_url, bound=bound, ws=ws) as gateway:
        async with gateway.watch(scope) as one, gateway.watch(scope) as two:
            await one.recv()
            await two.recv()
            async with gateway.connect() as three:
                bye = frames.decode(await three.recv())
                assert isinstance(bye, Bye)
                assert bye.code is code
                assert bye.reconnect_after_ms > 0
                assert await closed_with(three) == code
        await _joined(gateway, 0)
        async with gateway.watch(scope) as again:
            assert isinstance(frames.decode(await again.recv()), Snapshot)


async def closed_with(connection: ClientConnection, page: Page | None = None) -> int:
    """The close code that comes next, or behind what is on its way, which the page is given."""
    async with asyncio.timeout(10 * PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                if page is not None:
                    page.take(text)
    return connection.close_code or 0


async def test_another_protocol_is_refused_with_what_is_spoken(gateway: Gateway) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await gateway.connect(subprotocols=[Subprotocol("classpulse.v0")])
    assert refused.value.response.status_code == 400
    assert PROTOCOL.encode() in (refused.value.response.body or b"")


async def test_who_may_not_watch_is_told_why(redis_url: str) -> None:
    async with Gateway(redis_url, hosts=["classpulse.example"]) as gateway:
        with pytest.raises(InvalidStatus) as refused:
            await gateway.connect()
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["content-type"] == "application/problem+json"
    assert b"is not called '127.0.0.1:" in (refused.value.response.body or b"")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (['{"type":"ping"}'] * (MESSAGES_AT_ONCE + 100), CloseCode.CHATTER),
        (["x" * (MESSAGE_BYTES_MAX + 1)], 1009),
        ([b"x" * 10_000], 1009),  # uvicorn's own bound
    ],
    ids=["too many", "too big", "far too big"],
)
async def test_who_says_too_much_is_closed(gateway: Gateway, said: list[str | bytes], code: int) -> None:
    async with gateway.watch() as connection:
        with contextlib.suppress(ConnectionClosed):
            for message in said:
                await connection.send(message)
        assert await closed_with(connection) == code
    await _joined(gateway, 0)


PING = b'{"type":"ping"}'


def on_the_wire(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return bytes(WireFrame(opcode, data, fin).serialize(mask=True))


async def pong(connection: ClientConnection) -> None:
    async with asyncio.timeout(10 * PATIENCE):
        while '"pong"' not in str(await connection.recv()):
            pass


@pytest.mark.parametrize(
    "frames_",
    [
        on_the_wire(Opcode.TEXT, PING),
        on_the_wire(Opcode.BINARY, PING),
        on_the_wire(Opcode.TEXT, PING[:7], fin=False) + on_the_wire(Opcode.CONT, PING[7:]),
    ],
    ids=["text", "binary", "in fragments"],
)
async def test_a_message_is_heard_however_it_is_framed(gateway: Gateway, frames_: bytes) -> None:
    async with gateway.watch() as connection:
        connection.transport.write(frames_ * 2)
        await pong(connection)
        await pong(connection)


async def test_what_is_no_text_ends_the_connection(gateway: Gateway) -> None:
    async with gateway.watch() as connection:
        connection.transport.write(on_the_wire(Opcode.TEXT, b'{"type":"\xff"}'))
        assert await closed_with(connection) == 1007
    await _joined(gateway, 0)


async def test_who_says_too_much_and_is_gone_in_the_same_moment_is_no_fault_of_ours(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway.watch() as connection:
        much = on_the_wire(Opcode.TEXT, PING) * (MESSAGES_AT_ONCE + 10)
        connection.transport.write(much + on_the_wire(Opcode.CLOSE, b"\x03\xe8"))
        await closed_with(connection)
    await _joined(gateway, 0)
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_fault_of_ours_in_a_message_ends_that_connection_alone(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway.watch() as one, gateway.watch() as other:
        with monkeypatch.context() as broken:
            broken.setattr(Session, "hear", lambda *_: 1 / 0)
            await one.send(PING.decode())
            assert await closed_with(one) == 1011
        await other.send(PING.decode())
        await pong(other)


async def test_stopping_the_gateway_says_when_to_come_back(redis_url: str, writer: Writer, scope: str) -> None:
    """What was on its way comes before."""
    gateway, pages = Gateway(redis_url), [Page(scope) for _ in range(3)]
    async with gateway, contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(gateway.watch(scope)) for _ in pages]
        await writer.write(*[scope] * 20)
        stopping = asyncio.create_task(gateway.stop())
        after = set()
        for connection, page in zip(connections, pages, strict=True):
            while not isinstance(bye := await received(connection, page), Bye):
                pass
            assert bye.code is CloseCode.STOPPING
            after.add(bye.reconnect_after_ms)
            assert await closed_with(connection) == CloseCode.STOPPING
        await stopping
        assert len(after) > 1, "they are spread"


async def test_stopping_where_uvicorn_closes_by_itself(redis_url: str, scope: str) -> None:
    gateway = Gateway(redis_url, ws=WebSocketsSansIOProtocol)
    async with gateway, gateway.watch(scope) as connection:
        await connection.recv()
        await gateway.stop()
        assert await closed_with(connection) == 1012


async def test_the_feed_stops_also_when_redis_goes_at_that_moment(redis_url: str) -> None:
    async with redis.from_url(redis_url) as client:
        for number in range(40):
            feed = Feed(redis_url)
            await feed.start()

            async def subscribed() -> bool:
                return bool(await client.client_list(_type="pubsub"))

            await eventually(subscribed, 10, "the feed is subscribed")
            await client.client_kill_filter(_type="pubsub")
            await asyncio.sleep(number / 10_000)
            async with asyncio.timeout(10 * PATIENCE):
                await feed.stop()


async def test_the_feed_stops_at_every_step_of_its_connecting(redis_url: str) -> None:
    for steps in range(40):
        feed = Feed(redis_url)
        await feed.start()
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(10 * PATIENCE):
            await feed.stop()
