"""`GET /api/v1/live/stream`: the same frames as server-sent events, for networks that block WebSockets."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway import problems
from gateway.live import connection, framing
from gateway.live.connection import CLOSE_WITHIN_S, HEARTBEAT_S, WRITE_BUFFER_BYTES, HttpConnection
from gateway.live.delivery import REASONS, expiring, stopping
from gateway.live.doors import Doors, Visitor
from gateway.live.feed import Feed
from gateway.live.position import Metrics, Place
from gateway.live.session import SUBSCRIPTIONS_MAX, hello
from gateway.problems import ProblemError
from gateway.security.gate import Gate
from gateway.security.limits import Limits, address, caller
from gateway.security.principal import Principal
from wire import scopes as scopes_
from wire.metrics import Metric

PATH = "/api/v1/live/stream"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # what lies in a proxy is old
]


def router(feed: Feed, doors: Doors, gate: Gate, limits: Limits) -> APIRouter:
    routes = APIRouter()

    @routes.get(
        PATH,
        tags=["live"],
        summary="Live values as server-sent events",
        response_class=Response,
        # Without a default FastAPI would describe its own 422, which is 400 here.
        responses={200: {"content": {"text/event-stream": {}}}}
        | problems.documented(400, 401, 403, 429, 503)
        | {"default": problems.documented(500)[500]},
    )
    @limits.reads
    async def stream(
        request: Request,
        who: Annotated[Principal, Depends(gate)],
        scope: Annotated[list[str], Query(max_length=SUBSCRIPTIONS_MAX, examples=[["course:py101"]])],
        metrics: Annotated[list[Metric] | None, Query(examples=[["active_students"]])] = None,
        last_event_id: Annotated[str, Header(examples=[""])] = "",
    ) -> Response:
        """A snapshot of each scope, then every update after it; with `Last-Event-ID`, as browsers send it, it goes on
        from there. docs/live-protocol.md."""
        for text in scope:
            try:
                wanted = scopes_.Scope.parse(text)
            except ValueError as error:
                raise ProblemError(400, f"scope: {error}") from None
            gate.check(request, who, wanted, "live")
        chosen = None if metrics is None else frozenset(metrics)
        places = Places(list(dict.fromkeys(scope)), last_event_id)
        visitor = Visitor(address(request), caller(request))
        return EventStream(feed, doors, visitor, places, chosen, who.expires_s)

    return routes


class _Head(msgspec.Struct):
    type: str
    scope: str = ""
    epoch: str | None = None
    offset: int = 0
    reconnect_after_ms: int = 0


_head = msgspec.json.Decoder(_Head).decode


class Places:
    """How far each scope of a stream is, and that as an event's id: `EPOCH:OFFSET` of each, in the order asked for."""

    def __init__(self, scopes: Sequence[str], last_event_id: str = "") -> None:
        """An id that does not fit says nothing."""
        self.scopes = scopes
        told = last_event_id.split(",")
        self._places = dict(zip(scopes, map(_place, told), strict=True)) if len(told) == len(scopes) else {}

    def of(self, scope: str) -> Place | None:
        return self._places.get(scope)

    def event(self, payload: bytes) -> tuple[str, bytes]:
        """A frame as an event, and the scope whose place it has moved, or ""."""
        head = _head(payload)
        lines = [b"event: " + head.type.encode(), b"data: " + payload]
        if head.epoch is not None:
            self._places[head.scope] = Place(head.epoch, head.offset)
            lines.insert(0, b"id: " + ",".join(map(self._text, self.scopes)).encode())
        elif head.reconnect_after_ms:
            lines.insert(0, b"retry: %d" % head.reconnect_after_ms)
        return head.scope if head.epoch is not None else "", b"\n".join(lines) + b"\n\n"

    def _text(self, scope: str) -> str:
        place = self._places.get(scope)
        return "" if place is None else f"{place.epoch}:{place.offset}"


def _place(text: str) -> Place | None:
    epoch, _, offset = text.rpartition(":")
    return Place(epoch, int(offset)) if offset.isascii() and offset.isdigit() else None


class EventStream(Response):
    """Also the outlet of its viewer (`viewer.Outlet`)."""

    def __init__(
        self, feed: Feed, doors: Doors, visitor: Visitor, places: Places, metrics: Metrics, expires_s: float | None
    ) -> None:
        super().__init__()
        self._feed, self._doors, self._visitor, self._places, self._metrics = feed, doors, visitor, places, metrics
        self._expires_s = expires_s
        self._payloads: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._wake = asyncio.Event()
        self._connection: HttpConnection | None = None

    @property
    def full(self) -> bool:
        return self._size > WRITE_BUFFER_BYTES

    @property
    def pending(self) -> int:
        return self._size

    def write(self, data: bytes) -> None:
        if not self._ended:
            self._payloads.extend(framing.payloads(data))
            self._size += len(data)
            self._wake.set()

    def end(self, code: int, reason: str, last: bytes = b"") -> None:  # noqa: ARG002 -- `bye` says it
        self.write(last)
        self._ended = True
        self._wake.set()
        if self._connection is not None:
            asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._connection.abort)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (refused := self._doors.enter(self._visitor)) is not None:
            return await problems.answer(503, REASONS[refused], {"Retry-After": "10"})(scope, receive, send)
        ours = connection.of(scope)
        if isinstance(ours, HttpConnection):
            self._connection = ours
            ours.streams(lambda: stopping(self, self._doors.viewers))
        gone = asyncio.create_task(self._listen(receive))
        expiry = expiring(self, self._expires_s)
        try:
            await self._serve(send)
        finally:
            self._doors.leave(self._visitor)
            gone.cancel()
            if expiry is not None:
                expiry.cancel()
        return None

    async def _serve(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        viewer = self._feed.join(self)
        try:
            self.write(framing.text(hello()))
            for name in self._places.scopes:
                self._feed.subscribe(viewer, name, self._metrics, self._places.of(name))
            while not self._ended or self._payloads:
                events, moved = self._take()
                await send({"type": "http.response.body", "body": events or b": heartbeat\n\n", "more_body": True})
                for name in moved:  # what has left us counts as read: of this viewer no more is known
                    if (place := self._places.of(name)) is not None:
                        self._feed.acknowledge(viewer, name, place.offset)
                if not self._ended:
                    await self._pause()
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._feed.leave(viewer)

    def _take(self) -> tuple[bytes, set[str]]:
        events = [self._places.event(payload) for payload in self._payloads]
        self._payloads.clear()
        self._size = 0
        self._feed.drained()
        return b"".join(event for _, event in events), {name for name, _ in events if name}

    async def _pause(self) -> None:
        """Until there is something to send, at most for a heartbeat."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._payloads.clear()
        self._ended = True
        self._wake.set()
