"""`RateLimit-Policy` and `RateLimit`, as draft-ietf-httpapi-ratelimit-headers has them from its version 08 on."""

from collections.abc import Sequence
from typing import NamedTuple

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.security.windows import Window

_STATE = "rate_limits"


class Standing(NamedTuple):
    """What is left of a window."""

    window: Window
    room: int
    reset_ms: int


def policies(standings: Sequence[Standing]) -> str:
    """A window's name is its policy with its length: of one policy there may be several."""
    return ", ".join(
        f"{_name(window)};q={window.amount};w={window.period_ms // 1_000}{_unit(window)}" for window, _, _ in standings
    )


def remaining(standings: Sequence[Standing]) -> str:
    return ", ".join(f"{_name(window)};r={room};t={-(-reset_ms // 1_000)}" for window, room, reset_ms in standings)


def _name(window: Window) -> str:
    return f'"{window.policy}-{window.period_ms // 1_000}s"'


def _unit(window: Window) -> str:
    return ';qu="events"' if window.policy.startswith("events") else ""  # else it is requests


def note(connection: HTTPConnection, standings: Sequence[Standing]) -> None:
    """For the answer to this request, whatever it will be; a WebSocket gets none, and would keep it while it lasts."""
    if connection.scope["type"] == "http":
        setattr(connection.state, _STATE, standings)


class RateHeaders:
    """ASGI: `app.add_middleware(RateHeaders)`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = scope.setdefault("state", {})

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and (standings := state.get(_STATE)):
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = policies(standings)
                headers["RateLimit"] = remaining(standings)
            await send(message)

        return await self._app(scope, receive, told)
