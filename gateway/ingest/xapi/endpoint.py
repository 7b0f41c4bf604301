"""The part of xAPI's REST interface by which statements come in."""

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems
from gateway.bodies import JSON, check_type, read_body
from gateway.ingest.admission import Admission
from gateway.ingest.ids import course_of
from gateway.ingest.judge import BodyError, Posted, Rejection
from gateway.ingest.results import RESULTS
from gateway.ingest.xapi import adapter
from gateway.ingest.xapi.adapter import ConflictError
from gateway.problems import ProblemError
from gateway.security.keys import ApiKey
from gateway.security.limits import Limits
from gateway.security.schemes import BEARER_OR_BASIC

VERSION_HEADER = "X-Experience-API-Version"
THROUGH_HEADER = "X-Experience-API-Consistent-Through"
VERSIONS = {1: "1.0.3", 2: "2.0.0"}  # the newest of each, by which we answer
# What else the specification has, all of which needs a store of documents or statements.
NOT_KEPT = ("statements", "activities", "activities/state", "activities/profile", "agents", "agents/profile")


class _Answered(APIRoute):
    """Every answer, an error too, says the version, and up to when all that was acknowledged lies in Kafka."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            said = {
                VERSION_HEADER: VERSIONS[_version(request) or 2],
                THROUGH_HEADER: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            }
            try:
                response = await handle(request)
            except HTTPException as error:
                error.headers = {**(error.headers or {}), **said}
                raise
            response.headers.update(said)
            return response

        return answered


def router(
    admission: Admission, limits: Limits, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> APIRouter:
    routes = APIRouter(prefix="/xapi", tags=["xAPI"], route_class=_Answered)
    refusals = problems.documented(401, 403, 408, 409, 413, 415, 429) | problems.documented(503, results=RESULTS)

    async def posted(request: Request, key: ApiKey, statement_id: UUID | None = None) -> list[str]:
        """The ids of what Kafka has acknowledged. Raises ProblemError: all or nothing."""
        version = _version(request)
        if version is None:
            said = request.headers.get(VERSION_HEADER)
            raise ProblemError(400, f"{VERSION_HEADER} is {said or 'missing'}: expected 1.0, 1.0.x or 2.0.x")
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            raise ProblemError(415, f"attachments are not taken: send {JSON}, and attachments by their fileUrl")
        check_type(request, JSON)
        body = await read_body(request)
        try:
            if statement_id is not None:
                body = _under(body, statement_id)
            verdicts = adapter.judge(body, version, course_of(key), clock())
        except BodyError as error:
            await admission.spend(request, key, 1)
            raise ProblemError(400, str(error)) from None
        except ConflictError as error:
            await admission.spend(request, key, 1)
            raise ProblemError(409, str(error)) from None
        await admission.spend(request, key, len(verdicts))
        _refuse_bad(verdicts)
        judged = admission.admit(key, verdicts)
        _refuse_bad(judged)
        results = await admission.publish(judged)
        return [str(result.event_id) for result in results]

    @routes.post(
        "/statements",
        responses=refusals | problems.documented(400, errors=_ERRORS),
        response_model=list[str],
        openapi_extra=_BODY,
        dependencies=BEARER_OR_BASIC,
    )
    @limits.events
    async def post_statements(request: Request) -> Response:
        """Takes one statement, or a list of up to 500 (1 MB), and answers their ids when Kafka has acknowledged all.

        Where one of them is bad none is taken: `errors` says which, where in it, and why. Statements that came without
        an id get one, made of their bytes where they say when they happened: sent again as they were, they count once.
        """
        key = await admission.key(request)
        return Response(msgspec.json.encode(await posted(request, key)), media_type=JSON)

    @routes.put(
        "/statements",
        status_code=204,
        response_class=Response,
        responses=refusals | problems.documented(400, errors=_ERRORS),
        openapi_extra={**_BODY, "parameters": [*_BODY["parameters"], _STATEMENT_ID]},
        dependencies=BEARER_OR_BASIC,
    )
    @limits.events
    async def put_statement(request: Request) -> Response:
        """Takes one statement under that id. 204 comes after Kafka has acknowledged it."""
        key = await admission.key(request)
        await posted(request, key, _statement_id(request))
        return Response(status_code=204)

    @routes.get("/about", responses={200: {"content": {JSON: {"example": _ABOUT}}}})
    async def about() -> Response:
        """Which versions of xAPI are spoken here; asked without a key, and without a version."""
        return Response(msgspec.json.encode(_ABOUT), media_type=JSON)

    @routes.api_route("/{resource:path}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
    @limits.events
    async def not_kept(request: Request) -> Response:
        await admission.key(request)
        if request.path_params["resource"] not in NOT_KEPT:
            raise ProblemError(404, f"xAPI has no {request.url.path}")
        raise ProblemError(501, f"{request.url.path} takes no {request.method}: only what happens is taken, none kept")

    return routes


def _version(request: Request) -> int | None:
    """1 or 2; None where it is missing, or another."""
    parts = request.headers.get(VERSION_HEADER, "").split(".")
    known = parts[0] in ("1", "2") and parts[1:2] == ["0"] and len(parts) <= 3 and all(map(str.isdecimal, parts))
    return int(parts[0]) if known else None


def _statement_id(request: Request) -> UUID:
    """Raises ProblemError."""
    try:
        return UUID(request.query_params.get("statementId", ""))
    except ValueError:
        raise ProblemError(400, "statementId: expected a UUID") from None


def _under(body: bytes, statement_id: UUID) -> bytes:
    """One statement, with that id. Raises BodyError."""
    fields, named = adapter.named(body)
    if named not in (None, statement_id):
        raise BodyError(f"id: {named} is not the statementId that was asked for")
    return msgspec.json.encode({**fields, "id": statement_id})


def _refuse_bad(verdicts: Sequence[Posted | Rejection | object]) -> None:
    errors = [
        {"index": index, "field": verdict.field, "reason": verdict.reason}
        for index, verdict in enumerate(verdicts)
        if isinstance(verdict, Rejection)
    ]
    if errors:
        first = errors[0]
        place = f"statement {first['index']}: {first['field']}" if first["field"] else f"statement {first['index']}"
        raise ProblemError(400, f"{place}: {first['reason']}; no statement was taken", errors=errors)


_ABOUT = {"version": list(VERSIONS.values()), "extensions": {}}
_EXAMPLE = {
    "actor": {"account": {"homePage": "https://lms.example.org", "name": "s001"}},
    "verb": {"id": "http://adlnet.gov/expapi/verbs/answered", "display": {"en": "answered"}},
    "object": {"id": "https://lms.example.org/mod/quiz/view.php?id=12"},
    "result": {"success": True, "score": {"scaled": 0.8}},
    "timestamp": "2026-01-15T09:30:00+09:00",
}
_ERRORS = {
    "type": "array",
    "description": "of each bad statement",
    "items": {
        "type": "object",
        "properties": {
            "index": {"type": "integer"},
            "field": {"type": ["string", "null"], "description": "its place, like actor.mbox; null: the whole"},
            "reason": {"type": "string"},
        },
    },
}
_STATEMENT_ID = {
    "name": "statementId",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "format": "uuid", "examples": ["7ccd3322-e1a5-411a-a67d-6a735c76f119"]},
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
                "examples": {"one statement": {"value": _EXAMPLE}},
            }
        },
    },
    "parameters": [
        {
            "name": VERSION_HEADER,
            "in": "header",
            "required": True,
            "schema": {"type": "string", "examples": list(VERSIONS.values())},
            "description": "1.0, 1.0.x or 2.0.x",
        }
    ],
}
