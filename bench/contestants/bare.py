"""The technique by itself: frames made once, written to uvicorn's transports, without Redis, states, resume or bounds.

Updates come as lines, `SCOPE JSON`; an empty line ends a tick.
`python -m bench.contestants.bare tick|update --port PORT --feed PORT`: one write a viewer and tick, or one an update
"""

import argparse
import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.live import connection, framing
from gateway.live.connection import Connection


class Bare:
    """ASGI, around an application that has the lifespan."""

    def __init__(self, app: ASGIApp, groups: "Groups") -> None:
        self._app = app
        self._groups = groups

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return await self._app(scope, receive, send)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
        viewer, wanted = connection.of(scope), frozenset[bytes]()
        if isinstance(viewer, Connection):
            while (message := await receive())["type"] == "websocket.receive":
                self._groups.leave(viewer, wanted)
                wanted |= {json.loads(message["text"])["scope"].encode()}
                self._groups.join(viewer, wanted)
            self._groups.leave(viewer, wanted)
        return None


class Groups:
    def __init__(self) -> None:
        self._same: defaultdict[frozenset[bytes], set[Connection]] = defaultdict(set)  # those who watch the same
        self._each: defaultdict[bytes, set[Connection]] = defaultdict(set)  # those who watch a scope

    def join(self, viewer: Connection, wanted: frozenset[bytes]) -> None:
        self._same[wanted].add(viewer)
        for scope in wanted:
            self._each[scope].add(viewer)

    def leave(self, viewer: Connection, wanted: frozenset[bytes]) -> None:
        self._same[wanted].discard(viewer)
        for scope in wanted:
            self._each[scope].discard(viewer)

    def tick(self, frames: dict[bytes, bytes]) -> None:
        for wanted, viewers in self._same.items():
            if viewers:
                data = b"".join([frames[scope] for scope in wanted])
                for viewer in viewers:
                    viewer.write(data)

    def one(self, scope: bytes, frame: bytes) -> None:
        for viewer in self._each[scope]:
            viewer.write(frame)


def application(port: int, *, by_tick: bool) -> FastAPI:
    groups = Groups()

    async def take(lines: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        frames: dict[bytes, bytes] = {}
        async for line in lines:
            scope, _space, update = line.strip().partition(b" ")
            if not by_tick and scope:
                groups.one(scope, framing.text(update))
            elif scope:
                frames[scope] = framing.text(update)
            elif by_tick:
                groups.tick(frames)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with await asyncio.start_server(take, "127.0.0.1", port):
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(Bare, groups=groups)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("writes", choices=["tick", "update"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--feed", type=int, required=True)
    args = parser.parse_args()
    uvicorn.run(
        application(args.feed, by_tick=args.writes == "tick"),
        port=args.port,
        ws=Connection,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        backlog=4_096,
    )


if __name__ == "__main__":
    main()
