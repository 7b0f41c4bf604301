"""Every error the gateway answers is application/problem+json (RFC 9457): what went wrong, where, and what to do."""

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.database import DatabaseAwayError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2  # what is away is mostly back within seconds, and a producer adds its own growing pauses


class ProblemError(HTTPException):
    """An HTTPException that says more: `extensions` become members of the answer beside `detail`."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None, **extensions: Any) -> None:
        super().__init__(status, detail, headers)
        self.extensions = extensions


def away(detail: str, **extensions: Any) -> ProblemError:
    """503: something the request needs cannot be reached now; the client may send it again."""
    return ProblemError(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)}, **extensions)


def limited(rate: str, wait_ms: int) -> ProblemError:
    """429: more than `rate` was asked; after `wait_ms` there may be room for the same again."""
    after_s = max(1, math.ceil(wait_ms / 1_000))
    return ProblemError(429, f"more than {rate}; go on in {after_s} s", headers={"Retry-After": str(after_s)})


def unknown(detail: str) -> ProblemError:
    """401: it is not known who asks."""
    return ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})


def invalid(found: Sequence[Mapping[str, Any]]) -> ProblemError:
    """400, with `errors`, from what pydantic found wrong. What was given is not told back: it may be a password."""
    errors = [{"field": ".".join(map(str, wrong["loc"])), "reason": wrong["msg"]} for wrong in found]
    return ProblemError(400, "; ".join(f"{wrong['field']}: {wrong['reason']}" for wrong in errors), errors=errors)


def install(app: FastAPI) -> None:
    """Answers errors of every route as problems: raised ones, those of FastAPI itself, and the unexpected."""
    app.exception_handler(HTTPException)(_raised)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(DatabaseAwayError)(_database_away)
    app.exception_handler(Exception)(_unexpected)


def documented(*statuses: int, **extensions: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """These answers for a route's `responses`, as OpenAPI describes them; `extensions`: schemas of more members."""
    schema = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "what is wrong, where, and what to do"},
            **extensions,
        },
    }
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def answer(status: int, detail: str, headers: Any = None, **extensions: Any) -> Response:
    """A problem as it is sent."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **extensions}
    # ASCII, so that a lone surrogate somebody sent us can be shown back to him.
    return Response(json.dumps(body), status, headers, MEDIA_TYPE)


async def _raised(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:  # nobody said more
        if error.status_code == 404:
            detail = f"there is nothing at {request.url.path}"
        elif error.status_code == 405:
            detail = f"{request.url.path} does not take {request.method}"
    return answer(error.status_code, detail, error.headers, **getattr(error, "extensions", {}))


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    # Their places begin with which part of the request it is.
    return await _raised(request, invalid([{**wrong, "loc": wrong["loc"][1:]} for wrong in error.errors()]))


async def _database_away(request: Request, error: DatabaseAwayError) -> Response:
    return await _raised(request, away(str(error)))


async def _unexpected(_: Request, __: Exception) -> Response:
    return answer(500, "a fault of ours; the log has it")  # Starlette raises it again, and uvicorn logs it
