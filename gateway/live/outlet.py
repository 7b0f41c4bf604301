"""How one viewer's frames leave on a server whose connections are not `connection.Connection`: by a task of his own."""

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.types import Send

from gateway.live import framing
from gateway.live.connection import CLOSE_WITHIN_S, WRITE_BUFFER_BYTES


class PlainOutlet:
    """What `Connection` does, over ASGI's send."""

    def __init__(self, send: Send) -> None:
        self.full = False
        self.drained: Callable[[], None] = lambda: None
        self.stopping: Callable[[], None] | None = None  # nobody will call it, nor this
        self.heard: Callable[[str | bytes], object] | None = None
        self._send = send
        self._texts: deque[bytes] = deque()
        self._size = 0
        self._closing: tuple[int, str] | None = None
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._drain())

    @property
    def pending(self) -> int:
        return self._size

    def write(self, data: bytes) -> None:
        if self._closing is None:
            self._texts.extend(framing.payloads(data))
            self._size += len(data)
            self.full = self._size > WRITE_BUFFER_BYTES
            self._wake.set()

    def end(self, code: int, reason: str, last: bytes = b"") -> None:
        """Returns at once; the peer has CLOSE_WITHIN_S to take what lies before it."""
        if self._closing is None:
            self.write(last)
            self._closing = code, reason
            self._wake.set()
            asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._task.cancel)

    async def ended(self) -> None:
        """After it: nothing is under way any more."""
        if self._closing is None:
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._texts:
                    await self._send({"type": "websocket.send", "text": self._texts.popleft().decode()})
                self._size, self.full = 0, False
                self.drained()
                if self._closing is not None:
                    code, reason = self._closing
                    await self._send({"type": "websocket.close", "code": code, "reason": reason})
                    break
        except (RuntimeError, OSError):  # it is closed already; uvicorn's ClientDisconnected is an OSError
            pass
