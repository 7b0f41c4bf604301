"""Records of `activity` in which an event id is found. Pure."""

import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.admin.handling import ORIGIN
from wire import events
from wire.events import ActivityEvent

SIGHTINGS_MAX = 100  # that are kept: a producer may send the same id for ever

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_IN_WORDS = rb"[\w-]"  # "e1" is not in "e12"


@dataclass(frozen=True)
class Sighting:
    partition: int
    offset: int
    written_ms: int
    key: bytes | None
    value: bytes
    event: ActivityEvent | None
    problem: str = ""  # why it is no event
    origin: str = ""  # the letter that it was replayed from


class Sightings:
    def __init__(self, event_id: str, student: str | None = None) -> None:
        """`student`: only what has his key."""
        self.kept: list[Sighting] = []
        self.more = 0
        self._key = None if student is None else student.encode()
        self._ids = {event_id}
        with suppress(ValueError):
            self._ids.add(str(uuid.UUID(event_id)))  # as the door writes it
        self._needles = [id_.encode() for id_ in self._ids]
        any_id = b"|".join(map(re.escape, self._needles))
        self._find = re.compile(rb"(?<!%b)(?:%b)(?!%b)" % (_IN_WORDS, any_id, _IN_WORDS)).search

    def look_at(self, record: Any) -> None:
        """Decodes it only where its bytes may hold the id: with a backslash JSON may spell it otherwise."""
        value = record.value
        if value is None or not (any(needle in value for needle in self._needles) or b"\\" in value):
            return
        if self._key is not None and record.key != self._key:
            return
        if (read := self._read(value)) is None:
            return
        if len(self.kept) >= SIGHTINGS_MAX:
            self.more += 1
            return
        event, problem = (read, "") if isinstance(read, ActivityEvent) else (None, read)
        origin = dict(record.headers).get(ORIGIN, b"").decode(errors="backslashreplace")
        self.kept.append(
            Sighting(record.partition, record.offset, record.timestamp, record.key, value, event, problem, origin)
        )

    def in_order(self) -> list[Sighting]:
        """As they were written."""
        return sorted(self.kept, key=lambda one: (one.written_ms, one.partition, one.offset))

    def _read(self, value: bytes) -> ActivityEvent | str | None:
        """The event; why it is none; None: the id is not its."""
        try:
            event = events.decode(value)
        except _UNREADABLE as error:
            try:
                named = _named(value).event_id in self._ids
            except _UNREADABLE:
                named = self._find(value) is not None
            return str(error) if named else None
        return event if event.event_id in self._ids else None


class _Named(msgspec.Struct):
    event_id: str


_named = msgspec.json.Decoder(_Named).decode
