"""WebSocket `/ws/live`, spoken as `wire.frames` has it. Outside of FastAPI, whose routes cost each viewer 12 KB."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import structlog
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway import problems
from gateway.database import DatabaseAwayError
from gateway.live import connection
from gateway.live.connection import Connection
from gateway.live.delivery import expiring, farewell, stopping
from gateway.live.doors import Doors, Visitor
from gateway.live.feed import Feed
from gateway.live.outlet import PlainOutlet
from gateway.live.session import MESSAGE_BYTES_MAX, Session
from gateway.problems import ProblemError
from gateway.security.gate import Gate
from gateway.security.limits import address, caller
from gateway.security.principal import Principal
from wire import scopes
from wire.frames import PROTOCOL

PATH = "/ws/live"
ROUTE = f"WS {PATH}"
TOO_BIG = 1009, "message too big"
FAILED = 1011, "internal error"
FULL_SPREAD_MS = 15_000

log = structlog.get_logger(__name__)

Spend = Callable[[HTTPConnection], Awaitable[None]]  # raises ProblemError where he has begun too many


class Watching(NamedTuple):
    who: Principal
    refusal: Callable[[scopes.Scope | None], str | None]


class LiveSocket:
    """ASGI, around the rest of the gateway: `app.add_middleware(LiveSocket, ...)`."""

    def __init__(self, app: ASGIApp, feed: Feed, gate: Gate, doors: Doors, spend: Spend) -> None:
        self._app = app
        self._feed = feed
        self._gate = gate
        self._doors = doors
        self._spend = spend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket" or scope["path"] != PATH:
            return await self._app(scope, receive, send)
        asked = HTTPConnection(scope)
        try:
            who = await self._gate.admit(asked, ROUTE)
            if PROTOCOL not in scope["subprotocols"]:
                raise ProblemError(400, f"{PATH} speaks {PROTOCOL}: ask for it by Sec-WebSocket-Protocol")
            await self._spend(asked)
        except (ProblemError, DatabaseAwayError) as error:
            refused = error if isinstance(error, ProblemError) else problems.away(str(error))
            answer = problems.answer(refused.status_code, refused.detail, refused.headers)
            await receive()
            return await WebSocket(scope, receive, send).send_denial_response(answer)
        viewer = Watching(who, partial(self._gate.refusal, who, what="live", origin=address(asked)))
        await receive()
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        visitor = Visitor(address(asked), caller(asked))
        del asked  # it would stay as long as the viewer, with headers read into it
        ours = connection.of(scope)
        if isinstance(ours, Connection):
            await self._serve(visitor, receive, ours, viewer)
        else:
            plain = PlainOutlet(send)
            try:
                await self._serve(visitor, receive, plain, viewer)
            finally:
                await plain.ended()
        return None

    async def _serve(
        self, visitor: Visitor, receive: Receive, outlet: Connection | PlainOutlet, viewer: Watching
    ) -> None:
        """Until either side has ended it."""
        if (refused := self._doors.enter(visitor)) is not None:
            return farewell(outlet, refused, FULL_SPREAD_MS)
        try:
            await self._talk(receive, outlet, viewer)
        except Exception:
            outlet.end(*FAILED)
            raise
        finally:
            self._doors.leave(visitor)
        return None

    async def _talk(self, receive: Receive, outlet: Connection | PlainOutlet, viewer: Watching) -> None:
        now_s = asyncio.get_running_loop().time
        session = Session(self._feed, outlet, now_s(), viewer.refusal)
        expiry = expiring(outlet, viewer.who.expires_s)
        outlet.drained = self._feed.drained
        outlet.stopping = lambda: stopping(outlet, self._doors.viewers)

        def hear(said: str | bytes) -> bool:
            """False: that was the end."""
            try:
                ending = TOO_BIG if len(said) > MESSAGE_BYTES_MAX else session.hear(said, now_s())
            except Exception:
                log.exception("a message of a viewer failed")
                ending = FAILED
            if ending is not None:
                outlet.end(*ending)
            return ending is None

        outlet.heard = hear
        try:
            while (message := await receive())["type"] == "websocket.receive":
                if not hear(message.get("text") or message.get("bytes") or ""):
                    return
        finally:
            outlet.heard = None
            session.end()
            if expiry is not None:
                expiry.cancel()
