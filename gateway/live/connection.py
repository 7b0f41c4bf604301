"""uvicorn's connections, with an end that a stalled peer cannot put off, small buffers, and ways past the queues.

`uvicorn.run(..., ws=Connection, http=HttpConnection)`. Through uvicorn alone, a close waits until the peer has read
what is on its way, which may be never, and megabytes of frames lie in the kernel, already old, before anybody notices
that it is slow. Relied upon, and held by tests/integration/test_live.py: uvicorn hands `app_state` on as
`scope["state"]`, keeps no count of the frames it sends, calls `shutdown` before the end of the lifespan, and hands
each message on by `send_receive_event_to_app`, which fills the queue of `receive` and pauses reading until it is empty.
"""

import asyncio
import socket
from collections.abc import Callable, MutableMapping
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.protocol import State

CLOSE_WITHIN_S = 2.0  # for the peer to answer a close frame, or to read what lies before it
SEND_BUFFER_BYTES = 32_768  # in the kernel, which doubles it; some 3 s of a busy viewer's frames
WRITE_BUFFER_BYTES = 16_384  # in the process; past it the viewer is slow
HEARTBEAT_S = 10.0  # a ping each; unanswered for as long again the peer is gone

_STATE = "live_connection"


def _nothing() -> None: ...


def _drop(_: bytes) -> None: ...


def _narrow(link: asyncio.Transport) -> None:
    link.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    if (peer := link.get_extra_info("socket")) is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


class Connection(WebSocketsSansIOProtocol):
    """A WebSocket. As an outlet (`fanout.Outlet`) it takes frames ready made."""

    # Ours, and what uvicorn sets first: with over 30 in a `__dict__` an object has a table of its own, 1 KB more.
    __slots__ = (
        "_close_sent", "app", "app_state", "asgi_version", "client", "close_timeout", "config", "conn", "connections",
        "default_headers", "drained", "full", "heard", "logger", "loop", "queue", "root_path", "scheme", "scope",
        "server", "stopping", "tasks", "transport", "write",
    )  # fmt: skip

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        # The transport's own: a call in between would be a tenth of what a delivery costs.
        self.write: Callable[[bytes], None] = _drop
        super().__init__(config, server_state, {**app_state, _STATE: self}, _loop)
        self.full = False
        self.drained: Callable[[], None] = _nothing
        self.stopping: Callable[[], None] | None = None  # instead of uvicorn's bare close
        self.heard: Callable[[str | bytes], object] | None = None  # takes messages in the place of `receive`

    def send_receive_event_to_app(self) -> None:
        """Past the queue where nothing is in it: to wake a task, and to pause and resume reading, costs more than most
        messages do."""
        if self.heard is None or self.close_sent or self.read_paused:
            return super().send_receive_event_to_app()
        data = b"".join(self.frames)
        try:
            said = data.decode() if self.curr_msg_data_type == "text" else data
        except UnicodeDecodeError:
            return super().send_receive_event_to_app()  # which ends the connection
        self.frames = []
        self.heard(said)
        return None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        link = cast(asyncio.Transport, transport)
        _narrow(link)
        super().connection_made(link)
        self.write = link.write

    def connection_lost(self, exc: Exception | None) -> None:
        self.write = _drop
        super().connection_lost(exc)

    @property
    def close_sent(self) -> bool:
        """uvicorn's, which sets it in many places: nothing is written behind a close frame."""
        return self._close_sent

    @close_sent.setter
    def close_sent(self, sent: bool) -> None:
        self._close_sent = sent
        if sent:
            self.write = _drop

    def pause_writing(self) -> None:
        super().pause_writing()
        self.full = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self.full = False
        self.drained()

    @property
    def pending(self) -> int:
        return self.transport.get_write_buffer_size()

    def end(self, code: int, reason: str, last: bytes = b"") -> None:
        """Sends `last` and a close frame, where none was sent, and gives the peer CLOSE_WITHIN_S. Returns at once."""
        self.stop_keepalive()
        if not self.close_sent and not self.transport.is_closing():
            if self.conn.state is State.OPEN:  # not where the peer's own close has been read already
                self.conn.send_close(code, reason)
            self.transport.write(last + b"".join(self.conn.data_to_send()))
            self.close_sent = True
            if self.read_paused:  # else the peer's answer would never be seen
                self.read_paused = False
                self.transport.resume_reading()
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(CLOSE_WITHIN_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.end(1011, "keepalive ping timeout")  # where bytes are unread, uvicorn would wait for them

    def shutdown(self) -> None:
        if self.stopping is None or self.close_sent:
            super().shutdown()
        else:
            self.stopping()


class HttpConnection(HttpToolsProtocol):
    """An HTTP connection, of which a stream of events needs to know when the gateway stops, and how to end it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, _STATE: self}, _loop)
        self._stopping: Callable[[], None] = _nothing

    def streams(self, stopping: Callable[[], None]) -> None:
        """Frames are sent on it from now on. `stopping` is called when the gateway stops."""
        _narrow(self.transport)
        self._stopping = stopping

    def shutdown(self) -> None:
        super().shutdown()
        self._stopping()

    def abort(self) -> None:
        self.transport.abort()


def of(scope: MutableMapping[str, Any]) -> Connection | HttpConnection | None:
    """The connection of an ASGI scope, where it is one of ours."""
    found = scope.get("state", {}).get(_STATE)
    return found if isinstance(found, Connection | HttpConnection) else None
