"""What a posted body holds: events that are good, and for each that is not, the field and the reason. Pure.

Two steps of decoding: the body into its events, then each event by itself, so that a bad one leaves the others alone.
"""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta

from gateway.ingest import elements
from wire.events import DurationS, Id, Kind, Score, TeamId, Verb

EVENTS_MAX = 500
EVENT_MAX_BYTES = 32 * 1024  # ten times what all fields of ours can hold; unknown fields count too
DEEP = 256  # far from what any decoder gives up at, and from what an event needs

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def ms_of(moment: datetime) -> int:
    """Epoch milliseconds."""
    return (moment - _EPOCH) // _MS


class Posted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    verb: Verb | None = None

    @property
    def occurred_at_ms(self) -> int:
        return ms_of(self.occurred_at)


class Rejection(msgspec.Struct, frozen=True, gc=False):
    event_id: str | None  # where it could be read
    field: str | None  # None: the event as a whole
    reason: str


class BodyError(Exception):
    """Nothing of the body can be used; the message says why and, where it can be told, at which byte."""


class Judged(msgspec.Struct, frozen=True):
    verdicts: list[Posted | Rejection]  # of each event, in order
    sent_at: datetime | None = None  # by the producer's clock, where the body is an envelope that says so


def judge(body: bytes) -> Judged:
    """Of one event, a list of them, or `{"sent_at": …, "events": […]}`. Raises BodyError."""
    events, sent_at = _events(body)
    return Judged([_judge(event) for event in events], sent_at)


def judge_lines(body: bytes) -> Judged:
    """Of NDJSON: each line is an event, and a line that is no JSON is rejected by itself. Raises BodyError."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        raise BodyError("the body is empty: expected an event on each line")
    _count(lines)
    return Judged([_judge_line(line) for line in lines])


def sent_at(text: str) -> datetime:
    """Raises BodyError."""
    try:
        return msgspec.convert(text, _Moment)
    except msgspec.ValidationError:
        raise BodyError(f"sent_at: {_EXPECTED_TIME}") from None


_Moment = Annotated[datetime, Meta(tz=True)]
_EXPECTED_TIME = "expected an RFC 3339 time with its offset, like 2026-01-15T09:30:00+09:00"
_body_decoder = msgspec.json.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_event_decoder = msgspec.json.Decoder(Posted)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_uuid_decoder = msgspec.json.Decoder(uuid.UUID)

_Bytes = bytes | msgspec.Raw


def _events(body: bytes) -> tuple[Sequence[_Bytes], datetime | None]:
    if not body.strip():
        raise BodyError("the body is empty: expected an event or a list of events")
    with suppress(RecursionError):
        return _decoded(body)
    return _beside_deep_ones(body), None


def _decoded(body: bytes) -> tuple[Sequence[_Bytes], datetime | None]:
    """Raises BodyError, RecursionError."""
    try:
        found = _body_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BodyError(f"{error}: expected an event or a list of events") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _events_of_bad_text(body, str(error))
    sent = None
    if isinstance(found, list):
        events: Sequence[_Bytes] = found
    elif _is_envelope(found):
        try:
            events = _list_decoder.decode(found["events"])
            said = msgspec.json.decode(found["sent_at"], type=str | None) if "sent_at" in found else None
            sent = sent_at(said) if said is not None else None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BodyError(f"events or sent_at: {error}") from None
    else:
        events = [body.strip()]  # its own size counts, not the blanks around it
    _count(events)
    return events, sent


def _is_envelope(found: Mapping[str, Any]) -> bool:
    return "events" in found and "student_id" not in found


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
        events = list(_decoded(bytes(blanked))[0])
    except ValueError as error:
        raise BodyError(f"nested too deep, and {error}") from None
    except RecursionError:
        raise BodyError("nested too deep") from None
    for index, text in deep.items():
        events[index] = text
    return events


def _events_of_bad_text(body: bytes, complaint: str) -> tuple[Sequence[bytes], datetime | None]:
    """msgspec gives up on a whole body where one string of it holds half a surrogate pair or bytes that are not UTF-8.

    The standard library does not. So the events are told apart by it, with the bad text still in them, for the
    decoder of one event to find. Raises BodyError with `complaint` where the body is not JSON by its reading either;
    RecursionError.
    """
    try:
        found = _leniently(body)
        sent = None
        if isinstance(found, dict) and _is_envelope(found) and isinstance(found["events"], list):
            sent = sent_at(str(found["sent_at"])) if found.get("sent_at") is not None else None
            found = found["events"]
        events = found if isinstance(found, list) else [found]
        _count(events)
        return [_with_bad_text(event) for event in events], sent
    except ValueError:
        raise BodyError(complaint) from None


def _leniently(text: _Bytes) -> Any:
    """Raises ValueError, RecursionError."""
    return json.loads(bytes(text).decode("utf-8", "surrogateescape"), parse_constant=_no_number)


def _with_bad_text(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _count(events: Sequence[Any]) -> None:
    if not events:
        raise BodyError("the list is empty")
    if len(events) > EVENTS_MAX:
        raise BodyError(f"{len(events)} events: at most {EVENTS_MAX} at once")


def _judge(event: _Bytes) -> Posted | Rejection:
    if (size := memoryview(event).nbytes) > EVENT_MAX_BYTES:
        return Rejection(None, None, f"{size} bytes: an event is at most {EVENT_MAX_BYTES}")
    try:
        return _event_decoder.decode(event)
    except msgspec.ValidationError as error:
        return Rejection(_event_id(event), *_told(str(error)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Rejection(_event_id(event), _unreadable_field(event), _NO_TEXT)
    except RecursionError:
        return Rejection(None, None, "nested too deep")


def _judge_line(line: bytes) -> Posted | Rejection:
    verdict = _judge(line)
    if isinstance(verdict, Rejection) and verdict.reason == _NO_TEXT:
        try:
            return _judge(_with_bad_text(_leniently(line)))
        except ValueError as error:
            return Rejection(None, None, f"not JSON: {error}")
        except RecursionError:
            return Rejection(None, None, "nested too deep")
    return verdict


_NO_TEXT = "not text: half a surrogate pair, or not UTF-8"
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
        reason = _EXPECTED_TIME
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
