"""The part of xAPI's REST interface by which kept statements are asked for. There only where they are kept."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems
from gateway.bodies import JSON
from gateway.ingest.xapi import protocol
from gateway.ingest.xapi.protocol import THROUGH_HEADER, VERSION_PARAMETER
from gateway.problems import ProblemError
from gateway.security.gate import Gate
from gateway.security.limits import Limits, address
from gateway.security.principal import Principal
from gateway.security.schemes import BEARER_OR_BASIC
from gateway.statements import facets, formats, languages, query, record
from gateway.statements.formats import Format
from gateway.statements.query import PAGE_MAX, Many, One, QueryError
from gateway.statements.store import WRITE_WITHIN_S, Statements
from wire.scopes import Scope


def router(store: Statements, gate: Gate, limits: Limits) -> APIRouter:
    behind = timedelta(seconds=WRITE_WITHIN_S)
    routes = APIRouter(prefix="/xapi", tags=["xAPI"], route_class=protocol.answered(behind))

    @routes.head("/statements", include_in_schema=False)
    @routes.get(
        "/statements",
        responses=_RESPONSES,
        response_class=Response,
        openapi_extra={"parameters": [VERSION_PARAMETER, *_PARAMETERS]},
        dependencies=BEARER_OR_BASIC,
    )
    @limits.reads
    async def get_statements(request: Request, who: Annotated[Principal, Depends(gate)]) -> Response:
        """One statement by its id, or those that fit all filters, the newest first, page by page: `more` leads to the
        next. Each reading is in the audit log."""
        protocol.version(request)
        try:
            asked = query.read(request.query_params.multi_items())
        except QueryError as error:
            errors = [{"field": error.field, "reason": error.reason}]
            raise ProblemError(400, str(error), errors=errors) from None
        gate.read(who, "statements", _whom(asked), address(request))
        accepted = languages.ranges(request.headers.get("accept-language", ""))
        if isinstance(asked, One):
            return await _one(store, asked, accepted)
        return await _many(store, asked, accepted, request.url.path)

    return routes


async def _one(store: Statements, asked: One, accepted: Sequence[str]) -> Response:
    """Raises ProblemError 404, DatabaseAwayError."""
    through = await store.through()
    found = await store.one(asked.id, voided=asked.voided)
    if found is None:
        raise ProblemError(404, f"there is no {'voided ' if asked.voided else ''}statement {asked.id}")
    headers = {
        THROUGH_HEADER: record.moment(through),
        "Last-Modified": format_datetime(found.stored.astimezone(UTC), usegmt=True),
    }
    return _answer(formats.formed(found.body, asked.format, accepted), headers, attachments=asked.attachments)


async def _many(store: Statements, asked: Many, accepted: Sequence[str], path: str) -> Response:
    """Raises DatabaseAwayError."""
    page = await store.page(asked)
    shown = b",".join(formats.formed(each.body, asked.format, accepted) for each in page.statements)
    more = f"{quote(path)}?{query.MORE}={query.more(asked.asked, page.last)}" if page.more else ""
    body = b'{"statements":[%b],"more":%b}' % (shown, msgspec.json.encode(more))
    return _answer(body, {THROUGH_HEADER: record.moment(page.through)}, attachments=asked.attachments)


def _answer(body: bytes, headers: dict[str, str], *, attachments: bool) -> Response:
    """Where attachments are asked for it is multipart, as the specification has it. There are none in it: only those
    are taken that lie elsewhere."""
    if not attachments:
        return Response(body, headers=headers, media_type=JSON)
    boundary = uuid.uuid4().hex
    parts = b"--%b\r\nContent-Type: %b\r\n\r\n%b\r\n--%b--\r\n" % (
        boundary.encode(),
        JSON.encode(),
        body,
        boundary.encode(),
    )
    return Response(parts, headers=headers, media_type=f"multipart/mixed; boundary={boundary}")


def _whom(asked: One | Many) -> str:
    """As the audit log has it."""
    if isinstance(asked, One):
        return f"statement:{asked.id}"
    student = facets.student(asked.agent) if asked.agent is not None else None
    return str(Scope.student(student)) if student else "everybody"


_RESPONSES: dict[int | str, dict[str, Any]] = {
    **problems.documented(400, 401, 403, 404, 429, 503),
    200: {
        "description": "a statement, or a page of them",
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "statements": {"type": "array", "items": {"type": "object"}},
                        "more": {"type": "string", "description": "path of the next page; empty: this is the last"},
                    },
                }
            },
            "multipart/mixed": {"schema": {"type": "string"}},
        },
    },
}


def _parameter(name: str, example: Any, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "schema": {"type": kind, "examples": [example], **schema},
        "description": description,
    }


_ID = "7ccd3322-e1a5-411a-a67d-6a735c76f119"
_TIME = datetime(2026, 1, 15, 0, 30, tzinfo=UTC).isoformat()
_PARAMETERS = [
    _parameter("statementId", _ID, "that one, unless it is voided; goes with format and attachments only"),
    _parameter("voidedStatementId", _ID, "that one, if it is voided; goes with format and attachments only"),
    _parameter(
        "agent", '{"mbox":"mailto:kim@example.org"}', "the actor or object, or a member of it: an Agent as JSON"
    ),
    _parameter("verb", "http://adlnet.gov/expapi/verbs/answered", "its IRI"),
    _parameter("activity", "https://lms.example.org/mod/quiz/view.php?id=12", "the object, by its IRI"),
    _parameter("registration", _ID, "of the context"),
    _parameter(
        "related_activities", "true", "the activity may also be of the context, or of a SubStatement", "boolean"
    ),
    _parameter("related_agents", "true", "the agent may also be authority, instructor, in a team, …", "boolean"),
    _parameter("since", _TIME, "stored after it"),
    _parameter("until", _TIME, "stored then or before"),
    _parameter("limit", 50, f"of a page; 0: {PAGE_MAX}, which is also the most", "integer", minimum=0),
    _parameter("ascending", "true", "the oldest first", "boolean"),
    _parameter("format", Format.IDS, "how much of each is shown", enum=[*Format], default=Format.EXACT),
    _parameter("attachments", "true", "answers multipart/mixed, as the specification has it", "boolean"),
    _parameter(query.MORE, "WzEyLFtdXQ", "as `more` of the page before leads there; goes with no other"),
]
