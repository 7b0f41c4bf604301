"""Records to events, or why not. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pipelines.records import Record
from wire import events
from wire.dead_letters import Reason
from wire.events import ReadEvent


class Rejected(NamedTuple):
    record: Record
    reason: Reason
    detail: str


Read = tuple[Record, ReadEvent | Rejected]

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(records: Sequence[Record], skew_ms: int) -> list[Read]:
    """What the records hold. `skew_ms`: a time further ahead of the record's own is a wrong clock."""
    values = [record.value for record in records]
    return [
        (record, event)
        if event is not None and 0 <= event.occurred_at_ms <= record.timestamp + skew_ms
        else (record, _read_strictly(record, skew_ms))
        for record, event in zip(records, _all(values) or map(_one, values), strict=True)
    ]


def _all(values: Sequence[bytes | None]) -> list[ReadEvent] | None:
    """Their events, in half the time; None where there is one that `_one` has to look at."""
    given = [value for value in values if value is not None]
    try:
        return list(map(events.read, given)) if len(given) == len(values) and _is_plain(b"".join(given)) else None
    except _UNREADABLE:
        return None


def _one(value: bytes | None) -> ReadEvent | None:
    try:
        return events.read(value) if value is not None and _is_plain(value) else None
    except _UNREADABLE:
        return None


def _is_plain(json: bytes) -> bool:
    """A control character in an id is written with a backslash in JSON, all but DEL."""
    return b"\\" not in json and b"\x7f" not in json


def _read_strictly(record: Record, skew_ms: int) -> ReadEvent | Rejected:
    if record.value is None:
        return Rejected(record, Reason.NO_VALUE, "the record has no value")
    if record.key is None:
        return by_its_key(record)
    try:
        events.decode(record.value)
        event = events.read(record.value)
    except msgspec.ValidationError as error:
        return Rejected(record, Reason.INVALID, str(error))
    except _UNREADABLE as error:
        return Rejected(record, Reason.NOT_JSON, str(error))
    if (ahead_ms := event.occurred_at_ms - record.timestamp) > skew_ms:
        return Rejected(record, Reason.FUTURE, f"occurred_at is {ahead_ms / 1000:.0f} s ahead of the record's time")
    if event.occurred_at_ms < 0:
        return Rejected(record, Reason.INVALID, "occurred_at lies before 1970")
    return event


def by_its_key(record: Record) -> Rejected:
    """Of a record whose key is not that of its event."""
    if record.key is None:
        return Rejected(record, Reason.NO_KEY, "the record has no key; activity is keyed by student_id")
    return Rejected(record, Reason.KEY_MISMATCH, "the record's key is not its student_id")
