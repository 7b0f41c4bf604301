"""uvicorn's WebSocket connection, with an end that a stalled peer cannot put off, and small buffers.

`uvicorn.run(..., ws=Connection)`. Through uvicorn alone, a close waits until the peer has read what is on its way,
which may be never, and megabytes of frames lie in the kernel, already old, before anybody notices that it is slow.
Relied upon, and held by tests/integration/test_live.py: uvicorn hands `app_state` on as `scope["state"]`.
"""

import asyncio
import socket
from typing import Any, cast

from starlette.websockets import WebSocket
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

CLOSE_WITHIN_S = 2.0  # for the peer to answer a close frame, or to read what lies before it
SEND_BUFFER_BYTES = 32_768  # in the kernel, which doubles it; some 3 s of a busy viewer's frames
WRITE_BUFFER_BYTES = 16_384  # in the process, past which a send waits

_STATE = "live_connection"


class Connection(WebSocketsSansIOProtocol):
    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, _STATE: self}, _loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        link = cast(asyncio.Transport, transport)
        link.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if (peer := link.get_extra_info("socket")) is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().connection_made(link)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.cut(1011, "keepalive ping timeout")  # where bytes are unread, uvicorn would wait for them

    def cut(self, code: int, reason: str) -> None:
        """Sends a close frame, where none was sent, and gives the peer CLOSE_WITHIN_S. Returns at once."""
        self.stop_keepalive()
        if not self.close_sent and not self.transport.is_closing():
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            if self.read_paused:  # else the peer's answer would never be seen
                self.read_paused = False
                self.transport.resume_reading()
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(CLOSE_WITHIN_S, self.transport.abort)


async def close(websocket: WebSocket, code: int, reason: str) -> None:
    """Ends a connection, in whatever state, within CLOSE_WITHIN_S. On another server than ours it does what it can."""
    connection = websocket.scope.get("state", {}).get(_STATE)
    if connection is not None:
        connection.cut(code, reason)
        return
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await websocket.close(code, reason)
    except (TimeoutError, RuntimeError):  # RuntimeError: it is closed already
        pass
