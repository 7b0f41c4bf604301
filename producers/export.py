"""A file of xAPI statements, read into events: JSON lines or one JSON array, gzip or plain."""

import codecs
import gzip
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from producers import xapi
from producers.door import Event

GZIP_MAGIC = b"\x1f\x8b"


@dataclass
class Problem:
    line: int  # in a JSON array: the statement's number; both from 1
    reason: str


@dataclass
class Export:
    events: list[Event] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    duplicates: int = 0  # statements whose id the file has had before: left out, as they count once anyway


def load(path: Path, course_id: str, *, sort: bool) -> Export:
    """Reads the whole file; by time unless told otherwise. What cannot be read is a Problem, and the rest goes on.

    Raises OSError (where a compressed file is damaged: gzip.BadGzipFile) or EOFError (where its end is missing).
    """
    export = Export()
    dated: list[tuple[datetime, Event]] = []
    seen: set[str] = set()
    for number, statement in _statements(path.read_bytes()):
        try:
            if isinstance(statement, Exception):
                raise statement
            event = xapi.event_of(statement, course_id)
            happened = _time(event["occurred_at"])
        except (xapi.StatementError, msgspec.DecodeError, RecursionError, AttributeError, TypeError) as error:
            export.problems.append(Problem(number, f"{error}"))
            continue
        if event["event_id"] in seen:
            export.duplicates += 1
            continue
        seen.add(event["event_id"])
        dated.append((happened, event))
    if sort:
        dated.sort(key=lambda pair: pair[0])  # stable: what happened at once stays in the file's order
    export.events = [event for _, event in dated]
    return export


def _statements(data: bytes) -> Iterator[tuple[int, Any]]:
    """Each statement with its number, or the exception that says why it is none."""
    if data.startswith(GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except zlib.error as error:
            raise gzip.BadGzipFile(f"damaged: {error}") from None
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.lstrip()[:1] == b"[":
        try:
            whole = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            yield 1, xapi.StatementError(f"the file begins as a JSON array but is none: {error}")
            return
        yield from enumerate(whole, 1)
        return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield number, xapi.StatementError(f"not JSON: {error}")


def _time(text: str) -> datetime:
    try:
        happened = datetime.fromisoformat(text)
    except ValueError:
        raise xapi.StatementError(f"timestamp {text!r} is no RFC 3339 time") from None
    if happened.tzinfo is None:
        raise xapi.StatementError(f"timestamp {text!r} has no offset")
    return happened


def times(events: list[Event]) -> list[datetime]:
    return [datetime.fromisoformat(event["occurred_at"]) for event in events]


def shifted(events: list[Event], by: timedelta) -> list[Event]:
    """The same events at another time. Their ids are made anew from the old ones and the shift: they are not the same
    activity, and would else be taken for duplicates of it."""
    return [
        {
            **event,
            "occurred_at": (datetime.fromisoformat(event["occurred_at"]) + by).astimezone(UTC).isoformat(),
            "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{event['event_id']} {by.total_seconds()}")),
        }
        for event in events
    ]
