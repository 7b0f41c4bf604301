"""What a posted body holds: events that are good, and for each that is not, the field and the reason. Pure.

Two steps of decoding: the body into its events, then each event by itself, so that a bad one leaves the others alone.
"""

import json
import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta

from gateway.ingest import elements
from wire.events import DurationS, Id, Kind, Score, TeamId

EVENTS_MAX = 500
EVENT_MAX_BYTES = 32 * 1024  # ten times what all fields of ours can hold; unknown fields count too
DEEP = 256  # far from what any decoder gives up at, and from what an event needs

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """One event as a producer sends it. Fields it does not know are ignored; null is the same as absent."""

    event_id: uuid.UUID | None = None
    student_id: Id
    course_id: Id
    team_id: TeamId | None = None
    kind: Kind
    occurred_at: Annotated[datetime, Meta(tz=True)]
    task_id: Id | None = None
    score: Score | None = None
    success: bool | None = None
    duration_s: DurationS | None = None

    @property
    def occurred_at_ms(self) -> int:
        return (self.occurred_at - _EPOCH) // _MS


class Rejection(msgspec.Struct, frozen=True):
    event_id: str | None  # where it could be read
    field: str | None  # None: the event as a whole
    reason: str


class BodyError(Exception):
    """Nothing of the body can be used; the message says why and, where it can be told, at which byte."""


def judge(body: bytes, now: datetime, skew_s: int) -> list[Posted | Rejection]:
    """A verdict for each event, in order; one more than `skew_s` ahead of `now` is bad. Raises BodyError."""
    return [_judge(event, now, skew_s) for event in _events(body)]


_body_decoder = msgspec.json.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])
_event_decoder = msgspec.json.Decoder(Posted)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_uuid_decoder = msgspec.json.Decoder(uuid.UUID)

_Bytes = bytes | msgspec.Raw


def _events(body: bytes) -> Sequence[_Bytes]:
    if not body.strip():
        raise BodyError("the body is empty: expected an event or a list of events")
    with suppress(RecursionError):
        return _decoded(body)
    return _beside_deep_ones(body)


def _decoded(body: bytes) -> Sequence[_Bytes]:
    """Raises BodyError, RecursionError."""
    try:
        found = _body_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BodyError(f"{error}: expected an event or a list of events") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _events_of_bad_text(body, str(error))
    events = found if isinstance(found, list) else [body.strip()]  # its own size counts, not the blanks around it
    _count(events)
    return events


def _beside_deep_ones(body: bytes) -> Sequence[_Bytes]:
    """One event nested too deep makes a decoder give up on all of them. The others are read with that one left blank,
    and it is put back then, for the decoder of one event to give up on. Raises BodyError."""
    blanked, deep = bytearray(body), {}
    try:
        found = elements.split(body)
        for index, element in enumerate(found):
            if element.depth > DEEP:
                text = body[element.start : element.end]
                deep[index] = text.strip()
                blanked[element.start : element.end] = b"0".ljust(len(text))
        if len(found) == 1 and deep.get(0, b"").startswith(b"["):
            raise ValueError("there is no event in it")
        events = list(_decoded(bytes(blanked)))
    except ValueError as error:
        raise BodyError(f"nested too deep, and {error}") from None
    except RecursionError:
        raise BodyError("nested too deep") from None
    for index, text in deep.items():
        events[index] = text
    return events


def _events_of_bad_text(body: bytes, complaint: str) -> Sequence[bytes]:
    """msgspec gives up on a whole body where one string of it holds half a surrogate pair or bytes that are not UTF-8.

    The standard library does not. So the events are told apart by it, with the bad text still in them, for the
    decoder of one event to find. Raises BodyError with `complaint` where the body is not JSON by its reading either;
    RecursionError.
    """
    try:
        found = json.loads(body.decode("utf-8", "surrogateescape"), parse_constant=_no_number)
        events = found if isinstance(found, list) else [found]
        _count(events)
        return [json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass") for event in events]
    except ValueError:
        raise BodyError(complaint) from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _count(events: Sequence[Any]) -> None:
    if not events:
        raise BodyError("the list is empty")
    if len(events) > EVENTS_MAX:
        raise BodyError(f"{len(events)} events: at most {EVENTS_MAX} at once")


def _judge(event: _Bytes, now: datetime, skew_s: int) -> Posted | Rejection:
    if (size := memoryview(event).nbytes) > EVENT_MAX_BYTES:
        return Rejection(None, None, f"{size} bytes: an event is at most {EVENT_MAX_BYTES}")
    try:
        posted = _event_decoder.decode(event)
    except msgspec.ValidationError as error:
        return Rejection(_event_id(event), *_told(str(error)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Rejection(_event_id(event), _unreadable_field(event), "not text: half a surrogate pair, or not UTF-8")
    except RecursionError:
        return Rejection(None, None, "nested too deep")
    if posted.occurred_at_ms <= 0:
        reason = "is not after 1970-01-01T00:00:00Z"
    elif (posted.occurred_at - now).total_seconds() > skew_s:
        reason = f"is more than {skew_s} s ahead of the door's clock"
    else:
        return posted
    return Rejection(str(posted.event_id) if posted.event_id else None, "occurred_at", reason)


_AT_FIELD = re.compile(r"(.*) - at `\$\.(\w+)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def _told(complaint: str) -> tuple[str | None, str]:
    """Field and reason of a ValidationError of msgspec, its regular expressions and enums in words."""
    if missing := _MISSING.fullmatch(complaint):
        return missing[1], "is missing"
    at = _AT_FIELD.fullmatch(complaint)
    if at is None:
        return None, complaint
    reason, field = at.groups()
    if "matching regex" in reason:
        slash = ", no slash" if field == "team_id" else ""
        reason = f"expected no control characters{slash}, and no backslash at its end"
    elif reason.startswith("Invalid enum value"):
        reason = f"expected one of {', '.join(Kind)}"
    elif "datetime" in reason:
        reason = "expected an RFC 3339 time with its offset, like 2026-01-15T09:30:00+09:00"
    return field, reason


def _fields(event: _Bytes) -> dict[str, msgspec.Raw]:
    try:
        return _fields_decoder.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _event_id(event: _Bytes) -> str | None:
    try:
        return str(_uuid_decoder.decode(_fields(event)["event_id"]))
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _unreadable_field(event: _Bytes) -> str | None:
    for name, value in _fields(event).items():
        if name in Posted.__struct_fields__:
            try:
                msgspec.json.decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return name
    return None
