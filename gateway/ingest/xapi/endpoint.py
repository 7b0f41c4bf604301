"""The part of xAPI's REST interface by which statements come in."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems
from gateway.bodies import JSON, check_type, read_body
from gateway.database import DatabaseAwayError
from gateway.ingest.admission import Admission
from gateway.ingest.ids import course_of
from gateway.ingest.judge import BodyError, Posted, Rejection
from gateway.ingest.results import RESULTS
from gateway.ingest.xapi import adapter, protocol
from gateway.ingest.xapi.adapter import ConflictError, Read
from gateway.ingest.xapi.protocol import THROUGH_HEADER, VERSION_PARAMETER, VERSIONS
from gateway.problems import ProblemError
from gateway.security.keys import ApiKey
from gateway.security.limits import Limits
from gateway.security.schemes import BEARER_OR_BASIC
from gateway.statements import record
from gateway.statements.store import WRITE_WITHIN_S, ForbiddenError, Statements

# What else the specification has, all of which needs a store of documents or statements.
NOT_KEPT = ("statements", "activities", "activities/state", "activities/profile", "agents", "agents/profile")


def router(
    admission: Admission,
    limits: Limits,
    store: Statements | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """`store` None: no statement is kept, and what is no event is refused."""
    behind = timedelta(seconds=WRITE_WITHIN_S if store else 0)
    routes = APIRouter(prefix="/xapi", tags=["xAPI"], route_class=protocol.answered(behind))
    refusals = problems.documented(401, 403, 408, 409, 413, 415, 429) | problems.documented(503, results=RESULTS)

    async def posted(request: Request, key: ApiKey, statement_id: UUID | None = None) -> _Taken:
        """Kept where there is a store, then published, so that an id that stands over another statement is found out
        before anything is. Raises ProblemError: all or nothing, but that what was kept stays so where Kafka is away."""
        version = protocol.version(request)
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            raise ProblemError(415, f"attachments are not taken: send {JSON}, and attachments by their fileUrl")
        check_type(request, JSON)
        body = await read_body(request)
        try:
            if statement_id is not None:
                body = _under(body, statement_id)
            read = adapter.read(body, version)
        except BodyError as error:
            await admission.spend(request, key, 1)
            raise ProblemError(400, str(error)) from None
        except ConflictError as error:
            await admission.spend(request, key, 1)
            raise ProblemError(409, str(error)) from None
        await admission.spend(request, key, len(read))
        now = clock()
        verdicts = dict(enumerate(_verdict(one, key, now, kept=store is not None) for one in read))
        _refuse_bad(verdicts)
        events = {index: verdict for index, verdict in verdicts.items() if isinstance(verdict, Posted)}
        judged = dict(zip(events, admission.admit(key, [*events.values()]), strict=True))
        _refuse_bad(judged)
        good = [one for one in read if isinstance(one, Read)]
        through = await _kept(store, good, version, key) if store else None
        await admission.publish([*judged.values()])
        return _Taken([one.id for one in good], {THROUGH_HEADER: record.moment(through)} if through else {})

    @routes.post(
        "/statements",
        responses=refusals | problems.documented(400, errors=_ERRORS),
        response_model=list[str],
        openapi_extra=_BODY,
        dependencies=BEARER_OR_BASIC,
    )
    @limits.events
    async def post_statements(request: Request) -> Response:
        """Takes one statement, or a list of up to 500 (1 MB), and answers their ids when Kafka has acknowledged all,
        and where statements are kept, PostgreSQL before it.

        Where one of them is bad none is taken: `errors` says which, where in it, and why. Statements that came without
        an id get one, made of their bytes where they say when they happened: sent again as they were, they count once.
        """
        key = await admission.key(request)
        taken = await posted(request, key)
        return Response(msgspec.json.encode(taken.ids), headers=taken.headers, media_type=JSON)

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
        taken = await posted(request, key, _statement_id(request))
        return Response(status_code=204, headers=taken.headers)

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
        what = "statements are kept, and no documents" if store else "what happens is taken, none kept"
        raise ProblemError(501, f"{request.url.path} takes no {request.method}: only {what}")

    return routes


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


def _verdict(one: Read | Rejection, key: ApiKey, now: datetime, *, kept: bool) -> Posted | Rejection | None:
    """None: it is kept, and is no event. Of what voids another the store says whether the key may."""
    if isinstance(one, Rejection):
        return one
    if not kept or one.is_event:
        return adapter.posted(one, course_of(key), now)
    course = adapter.course(one, course_of(key))
    if not one.voids and not key.may_send(course):
        return Rejection(None, "context.contextActivities", f"the key {key.name!r} may not send of the course {course}")
    return None


async def _kept(store: Statements, read: Sequence[Read], version: int, key: ApiKey) -> datetime:
    """Raises ProblemError."""
    try:
        return await store.keep([record.record(one, version, key.name) for one in read], key.name)
    except ConflictError as error:
        raise ProblemError(409, f"{error}; no statement was taken") from None
    except ForbiddenError as error:
        raise ProblemError(403, f"{error}; no statement was taken") from None
    except DatabaseAwayError as error:
        raise problems.away(f"{error}; send the same again: each id counts once") from None


def _refuse_bad(verdicts: Mapping[int, object]) -> None:
    """By their place in what was posted."""
    errors = [
        {"index": index, "field": verdict.field, "reason": verdict.reason}
        for index, verdict in verdicts.items()
        if isinstance(verdict, Rejection)
    ]
    if errors:
        first = errors[0]
        place = f"statement {first['index']}: {first['field']}" if first["field"] else f"statement {first['index']}"
        raise ProblemError(400, f"{place}: {first['reason']}; no statement was taken", errors=errors)


class _Taken(NamedTuple):
    ids: list[UUID]
    headers: dict[str, str]


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
    "parameters": [VERSION_PARAMETER],
}
