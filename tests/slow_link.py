"""A TCP proxy between a client and a server of the tests: lets through late and little, as it is told at the moment.

And a Kafka that can be reached through it.
"""

import asyncio
import contextlib
import re
from pathlib import Path
from types import TracebackType
from typing import Self

from stack import ports
from stack.kafka import Kafka

_PIECE_BYTES = 16_384


class SlowLink:
    """Listens on 127.0.0.1:`port` from the start of the context to its end."""

    def __init__(self, port: int, to_port: int) -> None:
        self.delay_s = 0.0  # each way
        self.bytes_per_s = float("inf")  # each way of each connection
        self._port = port
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await _end(self._connections)
        await asyncio.sleep(0)  # in which the aborted connections are closed

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ends both connections when one of them has ended."""
        ends = [writer]
        ways: set[asyncio.Task[None]] = set()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            ends.append(far_writer)
            ways.add(asyncio.create_task(self._carry(reader, far_writer)))
            ways.add(asyncio.create_task(self._carry(far_reader, writer)))
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            return  # the server is away
        finally:
            for end in ends:
                end.transport.abort()  # close() would wait until the other side has taken what is left
            await _end(ways)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each piece `delay_s` after it came: many are under way at the same time."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def take() -> None:
            piece = b"-"
            while piece:
                with contextlib.suppress(OSError):
                    piece = b""
                    piece = await reader.read(_PIECE_BYTES)
                await under_way.put((loop.time(), piece))

        taking = asyncio.create_task(take())
        try:
            while True:
                came, piece = await under_way.get()
                await asyncio.sleep(max(0.0, came + self.delay_s - loop.time()))
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(len(piece) / self.bytes_per_s)
        except OSError:
            return
        finally:
            await _end({taking})


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in (tasks := set(tasks)):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class LinkedKafka(Kafka):
    """With a second listener, `linked`, which sends its clients to `link_port`: a SlowLink from there to
    `behind_port`."""

    def __init__(self, home: Path, *, cache: Path) -> None:
        super().__init__(home, cache=cache, quick=True)
        self.link_port, self.behind_port = ports.free(), ports.free()

    @property
    def linked(self) -> str:
        return f"{self.host}:{self.link_port}"

    def prepare(self) -> None:
        """What comes last in a file of properties is what holds."""
        super().prepare()
        file = self.home / "server.properties"
        found = re.search(r"quorum\.voters=1@(\S+)", file.read_text())
        assert found is not None
        direct, behind = f"BROKER://{self.address}", f"LINKED://{self.host}:"
        with file.open("a") as more:
            more.write(f"listeners={direct},{behind}{self.behind_port},CONTROLLER://{found[1]}\n")
            more.write(f"advertised.listeners={direct},{behind}{self.link_port}\n")
            more.write("listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,LINKED:PLAINTEXT\n")
