"""What every answer tells browsers, where it says nothing else itself: the page brings its own policy (`page`)."""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEFAULTS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",  # data is no page
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # most of it is about people
}
OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}


class SafeHeaders:
    """ASGI: `app.add_middleware(SafeHeaders)`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        wanted = {**DEFAULTS, **OVER_TLS} if scope["scheme"] == "https" else DEFAULTS

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        return await self._app(scope, receive, told)
