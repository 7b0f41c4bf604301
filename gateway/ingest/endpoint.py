"""POST /api/v1/events: the way in."""

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway import problems
from gateway.database import DatabaseAwayError
from gateway.ingest.judge import EVENTS_MAX, BodyError, Posted, Rejection, judge
from gateway.ingest.publisher import Publisher, PublisherAwayError
from gateway.problems import ProblemError
from gateway.roster import Roster, RosterCopy
from gateway.security.keys import ApiKey, KeyRing
from gateway.security.limits import Limits, presented_key
from wire.events import ActivityEvent

BODY_MAX_BYTES = 2**20
BODY_TIMEOUT_S = 20.0  # 1 MB at 50 kB/s; who is slower sends fewer events at once


class Result(BaseModel):
    """What became of one event."""

    index: int = Field(description="its place in what was posted, from 0")
    event_id: str | None = Field(description="as it lies in Kafka; send it again under this id, and it counts once")
    result: Literal["accepted", "rejected", "unknown"] = Field(
        description="unknown, with 503 only: it may be in Kafka or not; send it again under this event_id"
    )
    field: str | None = Field(None, description="of a rejected event: the field that is wrong, unless it is the whole")
    reason: str | None = Field(None, description="of a rejected event")
    on_roster: bool | None = Field(None, description="of an event not rejected: whether the student is in the course")


_RESULTS = {
    "type": "array",
    "items": Result.model_json_schema(),
    "description": "what became of each event; missing where none was looked at",
}


class Answer(BaseModel):
    accepted: int
    rejected: int
    results: list[Result]


def router(
    keys: KeyRing,
    roster: RosterCopy,
    publisher: Publisher,
    limits: Limits,
    skew_s: int,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """`keys`, `roster` and `publisher` are started and stopped by whoever made them; `app.state.limiter` is set too.
    `skew_s`: how far a producer's clock may be ahead of ours."""
    routes = APIRouter(tags=["events"])

    @routes.post(
        "/api/v1/events",
        status_code=202,
        response_model=Answer,
        responses=problems.documented(400, 401, 408, 413, 415, 429) | problems.documented(422, 503, results=_RESULTS),
        openapi_extra={"requestBody": _REQUEST_BODY},
        dependencies=[Depends(HTTPBearer(scheme_name="api_key", auto_error=False))],  # only tells OpenAPI
    )
    @limits.events
    async def post_events(request: Request) -> Response:
        """Takes one event, or a list of up to 500 (1 MB). 202 comes after Kafka has acknowledged every good one.

        A bad event is rejected by itself, with its field and the reason; where none is good the answer is 422, with
        the same `results`. After 503 or without an answer send the same again, with the same event ids: each counts
        once. Events that came without get theirs here, and the `results` of a 503 name them; where no answer came
        nothing does, so better bring your own.
        """
        try:
            key = await _key(request, keys, limits)
            held = roster.roster
        except DatabaseAwayError as error:
            raise problems.away(f"{error}; nothing was accepted") from None
        _check_type(request)
        body = await read_body(request)
        now = clock()
        try:
            verdicts = judge(body, now, skew_s)
        except BodyError as error:
            raise ProblemError(400, str(error)) from None
        judged = [_admit(verdict, key, held, now) for verdict in verdicts]
        results = [_result(index, verdict, held) for index, verdict in enumerate(judged)]
        good = [verdict for verdict in judged if isinstance(verdict, ActivityEvent)]
        answer = Answer(accepted=len(good), rejected=len(judged) - len(good), results=results)
        if not good:
            first = f"{results[0].field}: {results[0].reason}" if results[0].field else results[0].reason
            raise ProblemError(422, f"no event is good; the first: {first}", **answer.model_dump())
        try:
            await publisher.publish(good)
        except PublisherAwayError as error:
            detail = f"{error}; send the same again, with the event ids of `results`: each counts once"
            raise problems.away(detail, results=[_unsettled(result).model_dump() for result in results]) from None
        return Response(answer.model_dump_json(), 202, media_type="application/json")

    return routes


async def _key(request: Request, keys: KeyRing, limits: Limits) -> ApiKey:
    presented = presented_key(request)
    limits.admit(request)
    found = await keys.verify(presented) if presented else None
    if found is None:
        if presented:
            limits.strange(request)
        detail = "this API key is not known, or was revoked" if presented else "an API key is needed"
        raise ProblemError(401, f"{detail}: Authorization: Bearer KEY", headers={"WWW-Authenticate": "Bearer"})
    return found


def _check_type(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if kind.strip() != "application/json" or charset not in ("", "charset=utf-8"):
        raise ProblemError(415, "expected Content-Type: application/json, in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "expected no Content-Encoding")


async def read_body(request: Request, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """Bounded in size, whatever Content-Length says, and in time. Raises ProblemError."""
    too_large = ProblemError(413, f"the body is larger than {BODY_MAX_BYTES} bytes: send fewer events at once")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > BODY_MAX_BYTES):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_MAX_BYTES:
                    raise too_large
    except TimeoutError:
        raise ProblemError(408, f"the body was not there within {timeout_s:g} s") from None
    except ClientDisconnect:
        raise ProblemError(400, "the body ended early") from None  # nobody is there to read it
    return bytes(body)


def _admit(verdict: Posted | Rejection, key: ApiKey, roster: Roster, now: datetime) -> ActivityEvent | Rejection:
    """The event as it goes to Kafka. The roster's word on the team counts more than the producer's."""
    if isinstance(verdict, Rejection):
        return verdict
    event_id = str(verdict.event_id or uuid.uuid4())
    if not key.may_send(verdict.course_id):
        return Rejection(event_id, "course_id", f"the key {key.name!r} may not send events of this course")
    return ActivityEvent(
        event_id=event_id,
        student_id=verdict.student_id,
        course_id=verdict.course_id,
        kind=verdict.kind,
        occurred_at_ms=verdict.occurred_at_ms,
        received_at_ms=int(now.timestamp() * 1000),
        source=key.name,
        team_id=roster.team_of(verdict.course_id, verdict.student_id) or verdict.team_id,
        task_id=verdict.task_id,
        score=verdict.score,
        success=verdict.success,
        duration_s=verdict.duration_s,
    )


def _result(index: int, verdict: ActivityEvent | Rejection, roster: Roster) -> Result:
    if isinstance(verdict, Rejection):
        return Result(
            index=index, event_id=verdict.event_id, result="rejected", field=verdict.field, reason=verdict.reason
        )
    on_roster = roster.has(verdict.course_id, verdict.student_id)
    return Result(index=index, event_id=verdict.event_id, result="accepted", on_roster=on_roster)


def _unsettled(result: Result) -> Result:
    """Where Kafka has not acknowledged all, nobody can say which it has."""
    return result.model_copy(update={"result": "unknown"}) if result.result == "accepted" else result


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
    examples = {
        "one event": {"value": _EXAMPLE},
        "several": {"value": [_EXAMPLE, {**_EXAMPLE, "kind": "task_completed"}]},
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": {"oneOf": [event, listed]}, "examples": examples}},
    }


_REQUEST_BODY = _request_body()
