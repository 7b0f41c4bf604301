"""What every request and answer of xAPI says: the version, and up to when all that was acknowledged can be read."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.problems import ProblemError

VERSION_HEADER = "X-Experience-API-Version"
THROUGH_HEADER = "X-Experience-API-Consistent-Through"
VERSIONS = {1: "1.0.3", 2: "2.0.0"}  # the newest of each, by which we answer
VERSION_PARAMETER: dict[str, Any] = {
    "name": VERSION_HEADER,
    "in": "header",
    "required": True,
    "schema": {"type": "string", "examples": list(VERSIONS.values())},
    "description": "1.0, 1.0.x or 2.0.x",
}


def version(request: Request) -> int:
    """1 or 2. Raises ProblemError."""
    if (found := _version(request)) is None:
        said = request.headers.get(VERSION_HEADER)
        raise ProblemError(400, f"{VERSION_HEADER} is {said or 'missing'}: expected 1.0, 1.0.x or 2.0.x")
    return found


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def answered(behind: timedelta) -> type[APIRoute]:
    """Of routes each answer of which, an error too, has both headers. `behind`: how long something may have been under
    way that is not to be read yet; a route that knows better says so itself."""

    class Answered(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answered(request: Request) -> Response:
                said = {
                    VERSION_HEADER: VERSIONS[_version(request) or 2],
                    THROUGH_HEADER: moment(datetime.now(UTC) - behind),
                }
                try:
                    response = await handle(request)
                except HTTPException as error:
                    error.headers = {**said, **(error.headers or {})}
                    raise
                for name, value in said.items():
                    response.headers.setdefault(name, value)
                return response

            return answered

    return Answered


def _version(request: Request) -> int | None:
    """None where it is missing, or another."""
    parts = request.headers.get(VERSION_HEADER, "").split(".")
    known = parts[0] in ("1", "2") and parts[1:2] == ["0"] and len(parts) <= 3 and all(map(str.isdecimal, parts))
    return int(parts[0]) if known else None
