"""A viewer of `classpulse.v1` (docs/live-protocol.md) for asyncio, who goes on where he was when the connection breaks.

    async for frame in LiveClient("ws://127.0.0.1:8000/ws/live", ["course:py101"]).frames():
        ...

Each update follows on the one before or on a snapshot: a gap or a duplicate never comes out of here.

Where one logs in, the gateway asks for an access token, which is good for 15 minutes. So a program that watches longer
gives a function that has the newest one; without either, TOKEN in the environment is read.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Iterable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from wire import frames
from wire.frames import (
    PROTOCOL,
    Ack,
    Bye,
    Error,
    Frame,
    Hello,
    Message,
    Ping,
    Resumed,
    Snapshot,
    Stale,
    Subscribe,
    Unsubscribe,
    Update,
)
from wire.metrics import Metric

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 15.0
OPEN_WITHIN_S = 10.0
FRAME_BYTES_MAX = 1 << 22
TOKEN = "CLASSPULSE_TOKEN"  # noqa: S105 -- the variable's name

Token = str | Callable[[], str | None] | None

Shown = Snapshot | Resumed | Update | Stale


class RefusedError(RuntimeError):
    """The gateway will not have what is asked for, now or later; the message says why."""


def authorization(token: Token = None) -> dict[str, str]:
    """The headers that say who asks, of the WebSocket's handshake and of `GET /api/v1/live/stream` alike. None without
    a token."""
    shown = token() if callable(token) else token or os.environ.get(TOKEN)
    return {"Authorization": f"Bearer {shown}"} if shown else {}


class LiveClient:
    def __init__(
        self, url: str, scopes: Iterable[str], *, metrics: Iterable[Metric] | None = None, token: Token = None
    ) -> None:
        """Opens nothing. `metrics`: only these; None: all. `token`: an access token, or what gives one each time it
        connects."""
        self.places: dict[str, tuple[str, int] | None] = dict.fromkeys(scopes)  # epoch and offset shown; None: nothing
        self.connections = 0
        self._url = url
        self._token = token
        self._metrics = None if metrics is None else list(metrics)
        self._connection: ClientConnection | None = None
        self._pause_s = FIRST_PAUSE_S
        self._back_after_s: float | None = None  # as the gateway asked
        self._unacknowledged: Ack | None = None

    async def frames(self) -> AsyncIterator[Shown]:
        """Without end. A frame counts as shown when the next one is asked for. Raises RefusedError."""
        while True:
            try:
                opening = connect(
                    self._url,
                    subprotocols=[Subprotocol(PROTOCOL)],
                    additional_headers=authorization(self._token),
                    compression=None,
                    open_timeout=OPEN_WITHIN_S,
                    max_size=FRAME_BYTES_MAX,
                )
                async with opening as self._connection:
                    self.connections += 1
                    async for frame in self._talk(self._connection):
                        yield frame
            except InvalidHandshake as error:
                status = getattr(getattr(error, "response", None), "status_code", 503)
                if 400 <= status < 500 and status != 429:
                    raise RefusedError(f"{self._url}: {error}") from error
            except (OSError, TimeoutError, ConnectionClosed):
                pass
            await asyncio.sleep(self._next_pause_s())

    def drop(self) -> None:
        """Breaks the connection off, as a bad network would."""
        if self._connection is not None:
            self._connection.transport.abort()

    async def _talk(self, connection: ClientConnection) -> AsyncIterator[Shown]:
        """One connection's life: ends by ConnectionClosed or TimeoutError."""
        hello = frames.decode(await asyncio.wait_for(connection.recv(), OPEN_WITHIN_S))
        if isinstance(hello, Bye):
            self._sent_away(hello)
            return
        if not isinstance(hello, Hello):
            raise RefusedError(f"{self._url}: expected hello, got {hello}")
        self._unacknowledged = None
        for scope in self.places:
            await self._subscribe(connection, scope)
        heartbeat_s, acknowledge_s = hello.heartbeat_ms / 1_000, hello.limits.ack_within_ms / 2_000
        loop = asyncio.get_running_loop()
        acknowledged_s, asked = loop.time(), False
        while True:
            try:
                wait_s = acknowledge_s if self._unacknowledged else heartbeat_s
                frame = frames.decode(await asyncio.wait_for(connection.recv(), wait_s))
                asked = False
            except TimeoutError:
                if not self._unacknowledged:
                    if asked:
                        raise  # nothing is heard, not even an answer: the connection is dead
                    asked = True
                    await self._say(connection, Ping())
                frame = None
            if frame is not None and await self._follows(connection, frame) and isinstance(frame, Shown):
                yield frame
            if self._unacknowledged and loop.time() - acknowledged_s >= acknowledge_s:
                await self._say(connection, self._unacknowledged)
                self._unacknowledged, acknowledged_s = None, loop.time()

    async def _follows(self, connection: ClientConnection, frame: Frame) -> bool:
        """Whether to show it. Moves to where it leads."""
        match frame:
            case Snapshot():
                self._pause_s = FIRST_PAUSE_S
            case Update():
                place = self.places.get(frame.scope)
                if place is None:
                    return False  # from before it was asked for anew
                epoch, offset = place
                if epoch not in ("", frame.epoch) or frame.offset != offset + 1 + frame.skipped:
                    await self._anew(connection, frame.scope)
                    return False
            case Resumed():
                self._pause_s = FIRST_PAUSE_S
                return True
            case Bye():
                self._sent_away(frame)
                return False
            case Error() if not frame.retry:
                raise RefusedError(f"{frame.code}: {frame.message}")
            case _:
                return True
        self.places[frame.scope] = frame.epoch, frame.offset
        self._unacknowledged = Ack(scope=frame.scope, offset=frame.offset)
        return True

    async def _anew(self, connection: ClientConnection, scope: str) -> None:
        self.places[scope] = None
        await self._say(connection, Unsubscribe(scope=scope))
        await self._subscribe(connection, scope)

    async def _subscribe(self, connection: ClientConnection, scope: str) -> None:
        epoch, offset = self.places[scope] or (None, None)
        await self._say(connection, Subscribe(scope=scope, metrics=self._metrics, epoch=epoch, offset=offset))

    async def _say(self, connection: ClientConnection, message: Message) -> None:
        await connection.send(frames.encode(message).decode())

    def _sent_away(self, bye: Bye) -> None:
        self._back_after_s = bye.reconnect_after_ms / 1_000

    def _next_pause_s(self) -> float:
        if self._back_after_s is not None:
            pause_s, self._back_after_s = self._back_after_s, None
            return pause_s
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s * random.uniform(0.5, 1)  # noqa: S311 -- jitter, not a secret
