"""/api/v1/admin: pause and resume a consumer group, drain a worker; for admins and sre, each with a reason."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn, TypeVar

import structlog
from fastapi import APIRouter, Depends, Path
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from redis.exceptions import RedisError
from starlette.requests import Request

from gateway import problems
from gateway.bodies import check_json, read_body
from gateway.database import Database, DatabaseAwayError
from gateway.orders import book
from gateway.orders.board import NoWorkerError, OrderBoard
from gateway.orders.book import DRAIN, FOR_MIN_S, FOR_S, PAUSE, RESUME, StandsError, TooLongError
from gateway.problems import ProblemError
from gateway.security.audit_log import Entry
from gateway.security.gate import Gate
from gateway.security.limits import Limits, address
from gateway.security.principal import Principal
from gateway.security.recorder import Recorder
from wire.orders import Drain, Pause

log = structlog.get_logger(__name__)

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$"),
    Field(description="why; it is kept in the audit log"),
]
Group = Annotated[str, Path(examples=["live"])]
BodyT = TypeVar("BodyT", bound=BaseModel)


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reason: Reason


class PauseOrder(Order):
    for_s: Annotated[
        int, Field(ge=FOR_MIN_S, description="then it goes on by itself; at most half of what its topics are kept")
    ] = FOR_S


class PauseView(BaseModel):
    group: str
    by: Annotated[str, Field(description="who paused it")]
    reason: Annotated[str, Field(description="why he did")]
    since: datetime
    until: Annotated[datetime, Field(description="when it would have ended by itself, or will")]


class DrainView(BaseModel):
    worker_id: str
    pipeline: str
    partitions: Annotated[dict[str, list[int]], Field(description="by topic: what it gives away")]


def router(
    database: Database,
    board: OrderBoard,
    groups: Mapping[str, Sequence[str]],
    gate: Gate,
    recorder: Recorder,
    limits: Limits,
    clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
) -> APIRouter:
    """`groups`: each with the topics it reads."""
    bearer = Depends(HTTPBearer(scheme_name="api_key", auto_error=False))  # only tells OpenAPI
    routes = APIRouter(tags=["admin"], prefix="/api/v1/admin", dependencies=[bearer])
    default: dict[int | str, dict[str, Any]] = {"default": problems.documented(500)[500]}
    refusals = problems.documented(400, 401, 403, 404, 408, 409, 413, 415, 429, 503) | default

    def refuse(entry: Entry, status: int, detail: str) -> NoReturn:
        recorder.note(entry._replace(result="refused"))
        raise ProblemError(status, detail)

    def known(group: str, entry: Entry) -> None:
        if group not in groups:
            refuse(entry, 404, f"there is no consumer group {group!r}; there are {', '.join(sorted(groups))}")

    async def tell() -> None:
        """The order is in the book: what cannot be told now is within seconds of when it can."""
        try:
            await board.tell()
        except (DatabaseAwayError, RedisError, OSError) as error:
            log.warning("an order is not told yet", why=str(error))

    @routes.post(
        "/consumers/{group}/pause",
        responses=refusals,
        openapi_extra=_body(PauseOrder, {"reason": "InfluxDB is being moved", "for_s": 1800}),
    )
    @limits.reads
    async def pause(request: Request, who: Annotated[Principal, Depends(gate)], group: Group) -> PauseView:
        """The workers of the group take no further batch, within some 4 s. They commit what they have, stay in the
        group and go on saying that they live. It ends by itself after `for_s`."""
        given = await _read(PauseOrder, request)
        entry = Entry(who.who, PAUSE, group, address(request), detail=given.reason)
        known(group, entry)
        try:
            wanted = book.wanted(group, groups[group], who.name, given.reason, given.for_s, clock_ms())
        except TooLongError as error:
            raise ProblemError(400, f"for_s: {error}", errors=[{"field": "for_s", "reason": str(error)}]) from None
        try:
            await book.pause(database, wanted, entry)
        except StandsError as error:
            refuse(entry, 409, str(error))
        await tell()
        return _view(wanted)

    @routes.post(
        "/consumers/{group}/resume",
        responses=refusals,
        openapi_extra=_body(Order, {"reason": "InfluxDB has moved"}),
    )
    @limits.reads
    async def resume(request: Request, who: Annotated[Principal, Depends(gate)], group: Group) -> PauseView:
        """Ends the pause that is told; the workers go on within some 4 s, where they had committed."""
        given = await _read(Order, request)
        entry = Entry(who.who, RESUME, group, address(request), detail=given.reason)
        known(group, entry)
        try:
            ended = await book.resume(database, group, clock_ms(), entry)
        except StandsError as error:
            refuse(entry, 409, str(error))
        await tell()
        return _view(ended)

    @routes.post(
        "/workers/{worker_id}/drain",
        status_code=202,
        responses=refusals,
        openapi_extra=_body(Order, {"reason": "its machine is taken out"}),
    )
    @limits.reads
    async def drain(
        request: Request,
        who: Annotated[Principal, Depends(gate)],
        worker_id: Annotated[str, Path(examples=["live-host-4711"])],
    ) -> DrainView:
        """That process finishes what it has, commits, leaves its group, and ends with exit code 0. One that does not
        hear of it within a minute is left alone."""
        given = await _read(Order, request)
        entry = Entry(who.who, DRAIN, worker_id, address(request), detail=given.reason)
        try:
            beat = await board.worker(worker_id)
            await recorder.first(entry._replace(result="begun"))
            if not await board.drain(worker_id, Drain(by=who.name, reason=given.reason, at_ms=clock_ms())):
                refuse(entry, 409, f"{worker_id} is being drained already")
            recorder.note(entry)
        except NoWorkerError as error:
            refuse(entry, 404, str(error))
        except (RedisError, OSError) as error:
            raise problems.away(f"Redis, by which workers are told: {error}") from error
        return DrainView(worker_id=worker_id, pipeline=beat.app, partitions=beat.partitions)

    return routes


async def _read(model: type[BodyT], request: Request) -> BodyT:
    check_json(request)
    try:
        return model.model_validate_json(await read_body(request))
    except ValidationError as error:
        raise problems.invalid(error.errors()) from None


def _view(pause: Pause) -> PauseView:
    return PauseView(
        group=pause.group, by=pause.by, reason=pause.reason, since=_at(pause.since_ms), until=_at(pause.until_ms)
    )


def _at(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def _body(model: type[BaseModel], example: dict[str, object]) -> dict[str, Any]:
    """For OpenAPI; the body is read bounded, which FastAPI would not do."""
    content = {"schema": model.model_json_schema(), "examples": {"one": {"value": example}}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
