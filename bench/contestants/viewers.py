"""What updates published in Redis reach viewers by: the gateway's own live part, or FastAPI's `send_json` as it comes.

`python -m bench.contestants.viewers ours|send_json|send_json_deflate --redis URL --port PORT`
"""

import argparse
import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator

import redis.asyncio as redis
import uvicorn
from fastapi import FastAPI, WebSocket
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from gateway.database import Database
from gateway.live.connection import HEARTBEAT_S, Connection
from gateway.live.doors import Bound, Doors
from gateway.live.endpoint import LiveSocket
from gateway.live.feed import Feed
from gateway.live.session import MESSAGE_BYTES_MAX
from gateway.roster import RosterCopy
from gateway.security.access import ANY, DashboardAccess
from gateway.security.gate import Gate
from gateway.security.keys import KeyRing, Role
from gateway.security.limits import Limits, Rates
from gateway.security.recorder import Recorder
from gateway.security.roles import KeyAccess
from gateway.security.shared_windows import SharedWindows
from wire import channels

MANY = 100_000


def ours(redis_url: str) -> FastAPI:
    feed = Feed(redis_url)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await feed.start()
        yield
        await feed.stop()

    app = FastAPI(lifespan=lifespan)
    database = Database("postgresql://127.0.0.1:1/none")  # nobody logs in: it is never asked
    keys = KeyRing(database)
    limits = Limits(Rates(*["1/second"] * 5), keys.knows, SharedWindows(redis_url, 0.1))
    access = DashboardAccess("open", [ANY])
    gate = Gate(access, KeyAccess(keys, limits, Role.ADMIN), None, RosterCopy(database), Recorder(database))
    doors = Doors(Bound(MANY, MANY, MANY))
    app.add_middleware(LiveSocket, feed=feed, gate=gate, doors=doors, spend=_nothing)
    return app


async def _nothing(_: HTTPConnection) -> None:
    """As many handshakes as one likes."""


def send_json(redis_url: str) -> FastAPI:
    watching: defaultdict[bytes, set[WebSocket]] = defaultdict(set)

    async def listen() -> None:
        async with redis.from_url(redis_url) as client, client.pubsub() as pubsub:
            await pubsub.psubscribe(channels.live("course:*"))
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    update = json.loads(message["data"])
                    for viewer in list(watching[message["channel"]]):
                        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                            await viewer.send_json(update)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        listening = asyncio.create_task(listen())
        yield
        listening.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/ws/live")
    async def live(viewer: WebSocket) -> None:
        await viewer.accept(viewer.scope["subprotocols"][0])
        wanted = [channels.live((await viewer.receive_json())["scope"]).encode()]
        watching[wanted[0]].add(viewer)
        try:
            while True:
                wanted.append(channels.live((await viewer.receive_json())["scope"]).encode())
                watching[wanted[-1]].add(viewer)
        except WebSocketDisconnect:
            for channel in wanted:
                watching[channel].discard(viewer)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["ours", "send_json", "send_json_deflate"])
    parser.add_argument("--redis", required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    uvicorn.run(
        ours(args.redis) if args.which == "ours" else send_json(args.redis),
        port=args.port,
        ws=Connection if args.which == "ours" else "websockets-sansio",
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_ping_interval=HEARTBEAT_S,
        ws_ping_timeout=6 * HEARTBEAT_S,
        ws_per_message_deflate=args.which == "send_json_deflate",
        log_level="warning",
        access_log=False,
        backlog=4_096,
    )


if __name__ == "__main__":
    main()
