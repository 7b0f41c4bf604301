"""The live endpoint alone on a real uvicorn, and the pipeline's own writer to feed it."""

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI
from redis.exceptions import RedisError
from running import PATIENCE, eventually
from watching import Page
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from gateway import problems
from gateway.database import Database
from gateway.live import stream
from gateway.live.connection import HEARTBEAT_S, Connection, HttpConnection
from gateway.live.delivery import Bounds
from gateway.live.doors import Bound, Doors
from gateway.live.endpoint import LiveSocket
from gateway.live.feed import Feed
from gateway.roster import RosterCopy
from gateway.security.access import ANY, DashboardAccess
from gateway.security.gate import Gate
from gateway.security.keys import KeyRing, Role
from gateway.security.limits import Limits, Rates
from gateway.security.recorder import Recorder
from gateway.security.roles import KeyAccess
from gateway.security.shared_windows import SharedWindows
from pipelines.live.writer import LiveWriter
from wire import frames, metrics
from wire.frames import PROTOCOL, Hello, Message, Subscribe
from wire.metrics import Metric, MetricPoint, ScopeUpdate

NUMBERS = (Metric.EVENTS_PER_MINUTE, Metric.ACTIVE_STUDENTS, Metric.ERROR_RATE, Metric.HELP_REQUESTS_OPEN)

MANY = Bound(100, 100, 100)
RATES = Rates(*["6000/minute"] * 5)
PATIENT = Bounds(behind_s=600)  # most tests' viewers acknowledge nothing


def _gate(access: DashboardAccess, limits: Limits) -> Gate:
    """Nobody logs in, so PostgreSQL is never asked."""
    database = Database("postgresql://127.0.0.1:1/none")
    admins = KeyAccess(KeyRing(database), limits, Role.ADMIN)
    return Gate(access, admins, None, RosterCopy(database), Recorder(database))


class Gateway:
    """The live endpoint and nothing else, served by uvicorn in a thread, with a loop of its own (uvloop, as in
    production)."""

    def __init__(
        self,
        redis_url: str,
        *,
        bound: Bound = MANY,
        bounds: Bounds = PATIENT,
        hosts: Sequence[str] = (ANY,),
        rates: Rates = RATES,
        ws: type[asyncio.Protocol] = Connection,
        heartbeat_s: float = HEARTBEAT_S,
        port: int = 0,
    ) -> None:
        self.feed = Feed(redis_url, bounds)
        app = FastAPI(lifespan=self._lifespan)
        self._windows = SharedWindows(redis_url, wait_s=1)
        doors, limits = Doors(bound), Limits(rates, lambda _: False, self._windows)
        problems.install(app)
        gate = _gate(DashboardAccess("local", hosts), limits)
        app.include_router(stream.router(self.feed, doors, gate, limits))
        app.add_middleware(LiveSocket, feed=self.feed, gate=gate, doors=doors, spend=limits.spend_handshake)
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                ws=ws,
                http=HttpConnection,
                ws_max_size=8_192,
                ws_ping_interval=heartbeat_s,
                ws_ping_timeout=heartbeat_s,
                ws_per_message_deflate=False,
                log_config=None,
            )
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        await self._windows.start()
        await self.feed.start()
        yield
        await self.feed.stop()
        await self._windows.stop()

    async def __aenter__(self) -> "Gateway":
        self._thread.start()

        async def started() -> bool:
            return self._server.started

        await eventually(started, 10, "the gateway has started")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._server.should_exit = True
        await asyncio.to_thread(self._thread.join, 20 * PATIENCE)
        assert not self._thread.is_alive(), "the gateway does not stop"
        self._socket.close()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/live"

    def connect(self, **options: Any) -> connect:
        return connect(self.url, **{"subprotocols": [Subprotocol(PROTOCOL)], "compression": None, **options})

    @contextlib.asynccontextmanager
    async def watch(self, *scopes: str, page: Page | None = None) -> AsyncIterator[ClientConnection]:
        """A viewer who has said what he wants, from where `page` is."""
        async with self.connect() as connection:
            assert isinstance(frames.decode(await connection.recv()), Hello)
            for scope in scopes:
                await say(connection, place(page, scope))
            yield connection

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)


class Writer:
    """The pipeline's own writer, fed with numbers that only grow."""

    def __init__(self, redis_url: str) -> None:
        self._writer = LiveWriter(redis_url)
        self.written = 0

    async def write(self, *scopes: str, padding: int = 0) -> None:
        """A few of each scope's metrics change; tried until Redis has it, as the pipeline does. `padding`: bytes that
        make a frame bigger."""
        updates = [self._update(scope, padding) for scope in scopes]

        async def once() -> bool:
            with contextlib.suppress(RedisError):
                for update in updates:  # each by itself, or those of one scope would be told as one
                    await self._writer.write([update])
                return True
            return False

        await eventually(once, 10, "written")

    def _update(self, scope: str, padding: int) -> ScopeUpdate:
        self.written += 1
        chosen = random.sample(NUMBERS, random.randint(1, len(NUMBERS)))
        points = [self._point(metric) for metric in chosen]
        if padding:
            points.append(self._point(Metric.EVENTS_BY_KIND, label="x" * padding))
        return ScopeUpdate(scope=scope, points=points)

    def _point(self, metric: Metric, label: str = "") -> MetricPoint:
        return MetricPoint(
            metric=metric,
            label=label,
            window_s=metrics.WINDOW_S[metric],
            start_ms=86_400_000,
            value=self.written,
            n=1,
            as_of_ms=86_400_000 + self.written,
        )

    async def __aenter__(self) -> "Writer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writer.close()


async def say(connection: ClientConnection, message: Message) -> None:
    await connection.send(frames.encode(message).decode())


def place(page: Page | None, scope: str) -> Subscribe:
    watched = None if page is None else page.scopes[scope]
    if watched is None or watched.epoch is None:
        return Subscribe(scope=scope)
    return Subscribe(scope=scope, epoch=watched.epoch, offset=watched.offset)
