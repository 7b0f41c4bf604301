"""WebSocket `/ws/live?scope=course:py101&scope=team:py101/t1`: frames of `wire.frames`, from the server only."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog
from fastapi import APIRouter, WebSocket
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from gateway import problems
from gateway.live import connection
from gateway.live.fanout import Viewer
from gateway.live.feed import Feed
from wire import frames
from wire.events import ID_MAX
from wire.frames import Error
from wire.scopes import Scope

log = structlog.get_logger(__name__)

SCOPES_MAX = 64
SCOPE_CHARS_MAX = 2 * ID_MAX + 16  # a team's: two ids, and what stands between them

STALL_S = 15.0  # a viewer who takes nothing for so long is cut off
MESSAGE_BYTES_MAX = 4_096
MESSAGES_PER_MINUTE_MAX = 60  # viewers have nothing to say; a page that keeps its connection alive says little

Access = Callable[[HTTPConnection], str | None]  # why somebody may not watch; None: he may


class Ending(NamedTuple):
    """A close code of RFC 6455 or its registry, or of ours from 3000 on, with the reason that goes with it."""

    code: int
    reason: str


LEFT = Ending(1000, "")
BAD_SCOPE = Ending(1008, "bad scope")
CHATTER = Ending(1008, "too many messages")
TOO_BIG = Ending(1009, "message too big")
FAILED = Ending(1011, "internal error")
FULL = Ending(1013, "too many viewers; try again later")
STALLED = Ending(3008, "too slow")


def router(feed: Feed, access: Access, *, viewers_max: int, stall_s: float = STALL_S) -> APIRouter:
    """`viewers_max`: connections at once; one more is told to come back later."""
    routes = APIRouter()

    @routes.websocket("/ws/live")
    async def live(websocket: WebSocket) -> None:
        if (refusal := access(websocket)) is not None:
            await websocket.send_denial_response(problems.answer(403, refusal))
            return
        await websocket.accept()
        ending = FAILED
        try:
            ending = await _serve(websocket, feed, viewers_max, stall_s)
        finally:
            await connection.close(websocket, *ending)

    return routes


def scopes_asked(given: Sequence[str]) -> list[str]:
    """Raises ValueError, whose message is for whoever asked."""
    if not given:
        raise ValueError("no scope: expected ?scope=KIND:ID, up to 64 times")
    if len(given) > SCOPES_MAX:
        raise ValueError(f"{len(given)} scopes: expected at most {SCOPES_MAX}")
    for text in given:
        if len(text) > SCOPE_CHARS_MAX:
            raise ValueError(f"a scope of {len(text)} characters: expected at most {SCOPE_CHARS_MAX}")
        Scope.parse(text)
    return list(dict.fromkeys(given))


async def _serve(websocket: WebSocket, feed: Feed, viewers_max: int, stall_s: float) -> Ending:
    """Until either side ends it. Returns how to close."""
    try:
        scopes = scopes_asked(websocket.query_params.getlist("scope"))
    except ValueError as error:
        frame = frames.encode(Error(code="bad_scope", message=str(error))).decode()
        return await _send(websocket, frame, stall_s) or BAD_SCOPE
    if feed.viewers >= viewers_max:
        return FULL
    wake = asyncio.Event()
    viewer = feed.join(scopes, wake.set)
    both = [
        asyncio.create_task(_deliver(websocket, viewer, wake, stall_s)),
        asyncio.create_task(_listen(websocket)),
    ]
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        ending = done.pop().result()
    finally:
        feed.leave(viewer)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    if ending == STALLED:
        log.info("a viewer was too slow and is cut off", scopes=len(scopes), stall_s=stall_s)
    return ending


async def _deliver(websocket: WebSocket, viewer: Viewer, wake: asyncio.Event, stall_s: float) -> Ending:
    while True:
        await wake.wait()
        wake.clear()
        while texts := viewer.take():
            for text in texts:
                if ending := await _send(websocket, text, stall_s):
                    return ending


async def _send(websocket: WebSocket, text: str, stall_s: float) -> Ending | None:
    """Waits while the peer is slow. None: it is on its way."""
    try:
        async with asyncio.timeout(stall_s):
            await websocket.send_text(text)
    except TimeoutError:
        return STALLED
    except (WebSocketDisconnect, RuntimeError):  # RuntimeError: the server has closed it, for a ping or a bad frame
        return LEFT
    return None


async def _listen(websocket: WebSocket) -> Ending:
    """Reads what the viewer says, which nobody heeds, until he leaves or says too much."""
    loop = asyncio.get_running_loop()
    minute_ends, said = loop.time() + 60, 0
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return LEFT
        if loop.time() > minute_ends:
            minute_ends, said = loop.time() + 60, 0
        said += 1
        if said > MESSAGES_PER_MINUTE_MAX:
            return CHATTER
        if len((message.get("text") or "").encode() or message.get("bytes") or b"") > MESSAGE_BYTES_MAX:
            return TOO_BIG
