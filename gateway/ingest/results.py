"""What became of each event that was posted, as every way in answers it, and as OpenAPI describes it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gateway.problems import ProblemError


class Result(msgspec.Struct, frozen=True, gc=False):
    """What became of one event."""

    index: Annotated[int, Meta(description="its place in what was posted, from 0")]
    event_id: Annotated[
        str | None, Meta(description="as it lies in Kafka; send it again under this id, and it counts once")
    ]
    result: Annotated[
        Literal["accepted", "duplicate", "rejected", "retry"],
        Meta(
            description="duplicate: it was accepted before, or stands here twice; as good as accepted. "
            "retry, with 503 only: it may be in Kafka or not; send it again under this event_id"
        ),
    ]
    field: Annotated[
        str | None, Meta(description="of a rejected event: the field that is wrong, unless it is the whole")
    ] = None
    reason: Annotated[str | None, Meta(description="of a rejected event")] = None
    on_roster: Annotated[
        bool | None, Meta(description="of an event not rejected: whether the student is in the course")
    ] = None


class Answer(msgspec.Struct, frozen=True):
    accepted: int
    duplicate: int
    rejected: int
    results: list[Result]


def answer(results: list[Result]) -> Response:
    """202. Raises ProblemError 422, with the same members, where no event is good."""
    rejected = sum(result.result == "rejected" for result in results)
    duplicate = sum(result.result == "duplicate" for result in results)
    said = Answer(len(results) - duplicate - rejected, duplicate, rejected, results)
    if rejected == len(results):
        first = f"{results[0].field}: {results[0].reason}" if results[0].field else results[0].reason
        raise ProblemError(422, f"no event is good; the first: {first}", **msgspec.to_builtins(said))
    return Response(_encode(said), 202, media_type="application/json")


_encode = msgspec.json.Encoder().encode


def told(results: Sequence[Result]) -> Any:
    """As a member of a problem."""
    return msgspec.to_builtins(results)


def _schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a result and of an answer, without references."""
    _, components = msgspec.json.schema_components([Answer])
    components["Answer"]["properties"]["results"]["items"] = components["Result"]
    return components["Result"], components["Answer"]


_RESULT, _ANSWER = _schemas()
RESULTS: dict[str, Any] = {
    "type": "array",
    "items": _RESULT,
    "description": "what became of each event; missing where none was looked at",
}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Accepted", "content": {"application/json": {"schema": _ANSWER}}}
}
