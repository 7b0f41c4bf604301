"""By what a request is found again: its id on each line of the log and in its answer, and, of the door's, its trace.

A trace begins when it is known who asks (`Correlation.admitted`): what strangers send is not followed, nor do they
choose what is.
"""

import random
import re
import time
from collections.abc import Callable
from contextvars import ContextVar

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from traces.context import HEADER, Context, parse
from traces.head import Head
from traces.tracer import Attributes, Kind, Span, Tracer

REQUEST_ID = "x-request-id"

_HEADER = REQUEST_ID.encode()
_IS_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}").fullmatch
_BEGAN_NS = "classpulse.began_ns"
_SPAN = "classpulse.span"
_METHODS = frozenset({"GET", "POST", "PUT"})

_current: ContextVar[Context | None] = ContextVar("trace", default=None)


def current() -> Context | None:
    """Of the request in whose task this is called; None: it is not traced."""
    return _current.get()


class Correlation:
    """What the door asks."""

    def __init__(self, tracer: Tracer, share: float, chance: Callable[[], float] = random.random) -> None:
        """`share`: of the requests that are traced, 0 to 1."""
        self._tracer = tracer
        self._head = Head(share, chance)

    def admitted(self, request: Request) -> None:
        """The request shows a producer's key."""
        if not self._tracer.on:
            return
        parent = parse(request.headers.get(HEADER, ""))
        if not self._head.takes(parent, time.monotonic()):
            return
        route = request.scope["route"].path_format
        method = request.method if request.method in _METHODS else "_OTHER"
        attributes: Attributes = {"http.request.method": method, "http.route": route, "url.scheme": request.url.scheme}
        began_ns = request.scope.get(_BEGAN_NS)
        span = self._tracer.begin(f"{method} {route}", Kind.SERVER, parent, attributes, began_ns=began_ns)
        request.scope[_SPAN] = span
        _current.set(span.context)
        structlog.contextvars.bind_contextvars(trace_id=span.context.trace_id)


class Correlated:
    """ASGI: `app.add_middleware(Correlated, traced=tracer.on)`, as the outermost."""

    def __init__(self, app: ASGIApp, traced: bool) -> None:
        """`traced`: whether some requests are."""
        self._app = app
        self._traced = traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        shown = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        request_id = shown if _IS_ID(shown) else b"%016x" % random.getrandbits(64)
        structlog.contextvars.bind_contextvars(request_id=request_id.decode())
        if self._traced:
            scope[_BEGAN_NS] = time.time_ns()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id)]
                if (span := scope.get(_SPAN)) is not None:
                    _end(span, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:  # as long as the task lives, and that may be the connection's, it is of no other request
            if (span := scope.get(_SPAN)) is not None:
                _end(span, 500)  # where nothing was answered
                _current.set(None)
            structlog.contextvars.unbind_contextvars("request_id", "trace_id")
        return None


def _end(span: Span, status: int) -> None:
    span.end({"http.response.status_code": status}, failed=str(status) if status >= 500 else "")
