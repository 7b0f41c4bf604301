"""/api/v1/admin/dead-letters: what could not be used, for admins."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Path, Query
from fastapi.security import HTTPBearer
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from starlette.requests import Request

from gateway import problems
from gateway.admin import handling
from gateway.admin.handling import LIMIT_MAX, Report
from gateway.admin.letters import HOMES, Filter, Letters, Place
from gateway.admin.reading import KafkaAwayError, NotAllReadError, NotThereError
from gateway.admin.views import LetterView, Outcomes, WholeLetter, outcomes, view, whole
from gateway.bodies import check_json, read_body
from gateway.problems import ProblemError
from gateway.security.gate import Gate
from gateway.security.limits import Limits, address
from gateway.security.principal import Principal
from gateway.security.recorder import Recorder
from wire import topics
from wire.dead_letters import Action, LetterId, Reason

PAGE_MAX = 200
TIMEOUT_S = 10.0  # some 500,000 letters
_EXAMPLE_ID = "activity.dead-letters-3-41"
_EXAMPLE_TIME = "2026-01-15T00:30:00Z"
_CURSOR = re.compile(r"(\d{1,15})-(\d{1,9})-(\d{1,18})", re.ASCII)

LetterTopic = Annotated[str, Field(pattern=f"^({'|'.join(map(re.escape, HOMES))})$")]


class Page(BaseModel):
    letters: Annotated[list[LetterView], Field(description="newest first")]
    next: Annotated[str | None, Field(description="`before` of the next page; null: this is the last")]
    complete: Annotated[
        bool, Field(description=f"false: not all letters could be read within {TIMEOUT_S:g} s; ask by `since`")
    ]


class Chosen(BaseModel):
    """All that fits each field given."""

    model_config = ConfigDict(extra="forbid")
    topic: LetterTopic = topics.DEAD_LETTERS
    reason: Reason | None = None
    source: str | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")  # a `dryrun` misspelt would do what it was to prevent
    ids: Annotated[list[str], Field(min_length=1, max_length=LIMIT_MAX)] | None = None
    filter: Chosen | None = None
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX, description="of what the filter finds, the oldest")] = LIMIT_MAX
    dry_run: Annotated[bool, Field(description="only say what would be done")] = True
    force: Annotated[bool, Field(description="replay what would come back, or was handled before")] = False
    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
        Field(description="why; it is kept with the letter"),
    ]

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either `ids` or a `filter`")
        return self


def router(
    kafka: str,
    gate: Gate,
    recorder: Recorder,
    limits: Limits,
    skew_s: int,
    clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
) -> APIRouter:
    """`kafka`: bootstrap servers. `skew_s`: how far ahead of now an event may lie."""
    bearer = Depends(HTTPBearer(scheme_name="api_key", auto_error=False))  # only tells OpenAPI
    routes = APIRouter(tags=["admin"], prefix="/api/v1/admin/dead-letters", dependencies=[bearer])
    one_at_a_time = asyncio.Lock()  # a question may hold 64 MB
    default: dict[int | str, dict[str, Any]] = {
        "default": problems.documented(500)[500]
    }  # else FastAPI would describe its own 422, which is 400 here

    @routes.get("", responses=problems.documented(400, 401, 403, 429, 503) | default)
    @limits.reads
    async def list_letters(
        request: Request,
        who: Annotated[Principal, Depends(gate)],
        topic: Annotated[LetterTopic, Query(description=f"where they lie: {' or '.join(HOMES)}")] = topics.DEAD_LETTERS,
        reason: Annotated[Reason | None, Query(examples=["invalid"])] = None,
        source: Annotated[str | None, Query(description="the topic they come from", examples=["activity"])] = None,
        since: Annotated[AwareDatetime | None, Query(description="written then", examples=[_EXAMPLE_TIME])] = None,
        until: Annotated[AwareDatetime | None, Query(description="or before", examples=[_EXAMPLE_TIME])] = None,
        handled: Annotated[bool, Query(description="those too that were replayed or dropped")] = False,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        before: Annotated[
            str | None, Query(description="`next` of the page before", examples=["1768436100000-3-41"])
        ] = None,
    ) -> Page:
        """Letters that nobody has handled yet, newest first, page by page."""
        gate.read(who, "letters.list", topic, address(request))
        wanted = Filter(topic, reason, source, _ms(since), _ms(until), handled)
        async with one_at_a_time:
            try:
                found = await Letters(kafka, TIMEOUT_S).find(wanted, limit, newest=True, before=_place(before))
            except KafkaAwayError as error:
                raise problems.away(str(error)) from error
        further = "-".join(map(str, found.letters[-1].place)) if found.more and found.letters else None
        return Page(letters=[view(letter) for letter in found.letters], next=further, complete=found.complete)

    @routes.get("/{letter_id}", responses=problems.documented(401, 403, 404, 429, 503) | default)
    @limits.reads
    async def show_letter(
        request: Request,
        who: Annotated[Principal, Depends(gate)],
        letter_id: Annotated[str, Path(examples=[_EXAMPLE_ID])],
    ) -> WholeLetter:
        """One letter, with its bytes."""
        gate.read(who, "letters.show", letter_id, address(request))
        async with one_at_a_time:
            try:
                (letter,) = await Letters(kafka, TIMEOUT_S).get([LetterId.parse(letter_id)])
            except (ValueError, NotThereError) as error:
                raise ProblemError(404, str(error)) from None
            except KafkaAwayError as error:
                raise problems.away(str(error)) from error
        return whole(letter)

    async def obey(request: Request, action: Action, who: Principal) -> Outcomes:
        check_json(request)
        order = _order(await read_body(request))
        letters = Letters(kafka, TIMEOUT_S)
        async with one_at_a_time:
            try:
                chosen, more = await handling.choose(letters, _chosen(order), order.limit)
                verdicts = await handling.judge(
                    letters, chosen, action, force=order.force, now_ms=clock_ms(), skew_ms=skew_s * 1000
                )
                if not order.dry_run:
                    begun = handling.begun(who.who, action, verdicts, order.reason, address(request))
                    await recorder.first(begun)
                    verdicts = await handling.carry_out(letters, action, verdicts, by=who.name, why=order.reason)
                    recorder.note(handling.ended(begun, verdicts))
            except NotThereError as error:
                raise ProblemError(404, str(error)) from None
            except (KafkaAwayError, NotAllReadError) as error:
                raise problems.away(str(error)) from error
        return outcomes(Report(action, not order.dry_run, verdicts, more))

    refusals = problems.documented(400, 401, 403, 404, 408, 413, 415, 429, 503) | default

    @routes.post("/replay", responses=refusals, openapi_extra={"requestBody": _REQUEST_BODY})
    @limits.reads
    async def replay(request: Request, who: Annotated[Principal, Depends(gate)]) -> Outcomes:
        """Sends the records to their topics again, with the same key and bytes: an event keeps its id, and counts once.
        What would only come back is refused. Says what it would do, unless `dry_run` is false."""
        return await obey(request, Action.REPLAYED, who)

    @routes.post("/drop", responses=refusals, openapi_extra={"requestBody": _REQUEST_BODY})
    @limits.reads
    async def drop(request: Request, who: Annotated[Principal, Depends(gate)]) -> Outcomes:
        """Marks the letters as handled, with nothing done. Says what it would do, unless `dry_run` is false."""
        return await obey(request, Action.DROPPED, who)

    return routes


def _order(body: bytes) -> Order:
    try:
        return Order.model_validate_json(body)
    except ValidationError as error:
        raise problems.invalid(error.errors()) from None


def _chosen(order: Order) -> Filter | list[LetterId]:
    if (of := order.filter) is not None:
        return Filter(of.topic, of.reason, of.source, _ms(of.since), _ms(of.until))
    try:
        return [LetterId.parse(text) for text in order.ids or []]
    except ValueError as error:
        raise ProblemError(400, f"ids: {error}", errors=[{"field": "ids", "reason": str(error)}]) from None


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    if (match := _CURSOR.fullmatch(cursor)) is None:
        reason = f"{cursor!r} is no `next` of a page"
        raise ProblemError(400, f"before: {reason}", errors=[{"field": "before", "reason": reason}])
    return int(match[1]), int(match[2]), int(match[3])


def _ms(moment: AwareDatetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _request_body() -> dict[str, Any]:
    """For OpenAPI; the body is read bounded, which FastAPI would not do."""
    schema = Order.model_json_schema()
    kinds = schema.pop("$defs")

    def inlined(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return inlined(kinds[part["$ref"].rpartition("/")[2]])
            return {name: inlined(value) for name, value in part.items()}
        return [inlined(one) for one in part] if isinstance(part, list) else part

    examples = {
        "some": {"value": {"ids": [_EXAMPLE_ID], "dry_run": False, "reason": "the plug-in is mended"}},
        "what would be done": {"value": {"filter": {"reason": "invalid", "source": "activity"}, "reason": "to see"}},
    }
    return {"required": True, "content": {"application/json": {"schema": inlined(schema), "examples": examples}}}


_REQUEST_BODY = _request_body()
