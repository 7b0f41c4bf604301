"""The dashboard's page, as `npm run build` leaves it in `static/`."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "static"

NOT_BUILT = """ClassPulse is running, but the dashboard's page has not been built.

`make page` builds it (`make up` does so by itself). The API is described at /openapi.json.
"""

# Nothing on the page comes from elsewhere, and nothing in it was written by a student as markup.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

# The page's own paths, and no others: a mount at / would answer for the API's too, GET /api/v1/events with 404.
_PATHS = ("/", "/{file}", "/assets/{file:path}")


def serve(app: FastAPI, folder: Path = FOLDER) -> None:
    """At / and below, behind every route that `app` has by now. Looks once whether the page is there."""
    if not (folder / "index.html").exists():
        app.add_route("/", _not_built, include_in_schema=False)
        return
    files = StaticFiles(directory=folder, html=True)

    async def file(request: Request) -> Response:
        path = files.get_path(request.scope)
        response = await files.get_response(path, request.scope)
        response.headers.update(_HEADERS)
        # The build names what lies in assets/ by a digest of its content; the rest may change under its name.
        unchanging = path.startswith("assets")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if unchanging else "no-cache"
        return response

    for path in _PATHS:
        app.add_route(path, file, methods=["GET", "HEAD"], include_in_schema=False)


async def _not_built(_: Request) -> Response:
    return PlainTextResponse(NOT_BUILT, status_code=503)
