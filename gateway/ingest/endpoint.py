"""POST /api/v1/events: the way in."""

import json
from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems
from gateway.bodies import JSON, NDJSON, check_type, read_body
from gateway.ingest.admission import Admission
from gateway.ingest.judge import EVENTS_MAX, BodyError, Posted, judge, judge_lines, sent_at
from gateway.ingest.results import ACCEPTED, RESULTS, answer
from gateway.problems import ProblemError
from gateway.security.limits import Limits


def router(admission: Admission, limits: Limits) -> APIRouter:
    routes = APIRouter(tags=["events"])

    @routes.post(
        "/api/v1/events",
        status_code=202,
        response_model=None,
        responses=ACCEPTED
        | problems.documented(400, 401, 403, 408, 413, 415, 429)
        | problems.documented(422, 503, results=RESULTS),
        openapi_extra={"requestBody": _REQUEST_BODY, "parameters": _HEADERS},
        dependencies=[Depends(HTTPBearer(scheme_name="api_key", auto_error=False))],  # only tells OpenAPI
    )
    @limits.events
    async def post_events(request: Request) -> Response:
        """Takes one event, a list of up to 500 (1 MB), an envelope of `sent_at` and such a list, or NDJSON with an
        event on each line; packed with gzip or zstd too. 202 comes after Kafka has acknowledged every good one.

        A bad event is rejected by itself, with its field and the reason; where none is good the answer is 422, with
        the same `results`. After 503 or without an answer send the same again, with the same event ids: each counts
        once. Events that came without get theirs here, and the `results` of a 503 name them; where no answer came
        nothing does, so better bring your own.

        Who says in `sent_at` (or in the header `X-Sent-At`) what his clock says when he sends has it corrected: the
        difference to ours is added to each `occurred_at`.
        """
        key = await admission.key(request)
        kind = check_type(request, JSON, NDJSON)
        body = await read_body(request)
        try:
            judged = judge_lines(body) if kind == NDJSON else judge(body)
            said = request.headers.get("x-sent-at")
            sent = judged.sent_at or (sent_at(said) if said else None)
        except BodyError as error:
            await admission.spend(request, key, 1)
            raise ProblemError(400, str(error)) from None
        await admission.spend(request, key, len(judged.verdicts))
        return answer(await admission.post(key, judged.verdicts, sent))

    return routes


_EXAMPLE = {
    "student_id": "s001",
    "course_id": "py101",
    "kind": "code_run",
    "success": True,
    "occurred_at": "2026-01-15T09:30:00+09:00",
}


def _request_body() -> dict[str, Any]:
    """For OpenAPI, from the type that decodes it."""
    _, found = msgspec.json.schema_components([Posted])
    # ECMA's regular expressions have no \Z; its `$` means the same, as it lets no newline through.
    components = json.loads(json.dumps(found).replace(r"\\Z", "$"))
    event = components["Posted"]
    event["properties"]["kind"] = components["Kind"]
    listed = {"type": "array", "minItems": 1, "maxItems": EVENTS_MAX, "items": event}
    envelope = {
        "type": "object",
        "required": ["events"],
        "properties": {"events": listed, "sent_at": {"type": "string", "format": "date-time"}},
    }
    examples = {
        "one event": {"value": _EXAMPLE},
        "several": {"value": [_EXAMPLE, {**_EXAMPLE, "kind": "task_completed"}]},
        "with when they were sent": {"value": {"sent_at": "2026-01-15T09:30:05+09:00", "events": [_EXAMPLE]}},
    }
    lines = "".join(json.dumps({**_EXAMPLE, "kind": kind}) + "\n" for kind in ("task_started", "task_completed"))
    return {
        "required": True,
        "content": {
            JSON: {"schema": {"oneOf": [event, listed, envelope]}, "examples": examples},
            NDJSON: {"schema": {"type": "string"}, "examples": {"several": {"value": lines}}},
        },
    }


_REQUEST_BODY = _request_body()
_HEADERS = [
    {
        "name": "Content-Encoding",
        "in": "header",
        "schema": {"enum": ["gzip", "zstd", "identity"], "default": "identity"},
        "description": "how the body is packed; at most 1 MB unpacked",
    },
    {
        "name": "X-Sent-At",
        "in": "header",
        "schema": {"type": "string", "format": "date-time", "examples": ["2026-01-15T09:30:05+09:00"]},
        "description": "`sent_at`, where the body does not say it",
    },
]
