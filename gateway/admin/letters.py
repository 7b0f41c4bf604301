"""The letters as they lie in Kafka, and what was done with them.

Kafka deletes no single record: what was replayed or dropped stays where it is until its time is over, and a record in
`dead-letters.handled` says what became of it. So every question reads its topic and that one, from `since` to the end,
within a time limit.
"""

import heapq
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.admin.reading import KafkaAwayError, NotThereError, Progress, Reading, Tally, reading
from wire import dead_letters, topics
from wire.dead_letters import DeadLetter, Handled, LetterId, Reason

log = logging.getLogger(__name__)  # the standard library's: on the command line it keeps to standard error

HOMES = (topics.DEAD_LETTERS, topics.PARKED)
HELD_BYTES_MAX = 64 * 2**20  # a letter may have 2 MB; a page ends, or a replay stops, before the process does
LETTER_OVERHEAD_BYTES = 500

Place = tuple[int, int, int]  # when it was written (epoch ms), partition, offset: the order of letters


@dataclass(frozen=True)
class Letter:
    id: LetterId
    written_ms: int
    content: DeadLetter
    handled: Handled | None = None

    @property
    def place(self) -> Place:
        return self.written_ms, self.id.partition, self.id.offset


@dataclass(frozen=True)
class Filter:
    """Which letters; None: whatever it is."""

    topic: str = topics.DEAD_LETTERS  # where they lie
    reason: Reason | None = None
    source: str | None = None  # the topic they come from
    since_ms: int | None = None  # when they were written
    until_ms: int | None = None  # before
    handled: bool = False  # those too that were replayed or dropped
    records: frozenset[tuple[int, int]] | None = None  # partition and offset, where they come from

    def takes(self, letter: Letter) -> bool:
        return (
            (self.reason is None or letter.content.reason is self.reason)
            and (self.source is None or letter.content.topic == self.source)
            and (self.records is None or (letter.content.partition, letter.content.offset) in self.records)
            and (self.since_ms is None or letter.written_ms >= self.since_ms)
            and (self.until_ms is None or letter.written_ms < self.until_ms)
            and (self.handled or letter.handled is None)
        )


@dataclass(frozen=True)
class Found:
    letters: list[Letter]  # in the order asked for
    more: int  # that match too, behind them
    read: int  # records
    total: int  # less were read where time was up

    @property
    def complete(self) -> bool:
        return self.read >= self.total


class Letters:
    """Opens a connection for each question."""

    def __init__(self, servers: str, timeout_s: float, progress: Progress = lambda _read, _total: None) -> None:
        """`servers`: host:port, separated by commas. `timeout_s`: for each call here."""
        self.servers = [address.strip() for address in servers.split(",")]
        self.timeout_s = timeout_s
        self.progress = progress

    async def find(self, wanted: Filter, limit: int, *, newest: bool, before: Place | None = None) -> Found:
        """The `limit` newest or oldest, that one first; `before`: only those that lie before it in time.

        Raises KafkaAwayError. Time being up is no error where only letters are missing: `complete` says so.
        """
        async with reading(self.servers, self.timeout_s, {wanted.topic, topics.HANDLED}) as there:
            marks = await _marks(there)
            first, tally = First(limit, newest=newest), Tally(self.progress)
            async for record in there.records(await there.starts(wanted.topic, wanted.since_ms), tally):
                letter = _letter(record, marks)
                if letter is not None and wanted.takes(letter) and (before is None or letter.place < before):
                    first.add(letter)
        return Found(first.letters(), first.left_out, tally.read, tally.total)

    async def get(self, ids: Iterable[LetterId]) -> list[Letter]:
        """In the order they were written. Raises NotThereError, KafkaAwayError."""
        wanted = sorted(set(ids))
        if strange := [one for one in wanted if one.topic not in HOMES]:
            raise NotThereError(f"{strange[0]}: letters lie in {' and '.join(HOMES)}")
        async with reading(self.servers, self.timeout_s, {topics.HANDLED, *(one.topic for one in wanted)}) as there:
            marks = await _marks(there)
            found = []
            for one in wanted:
                letter = _letter(await there.record(*one), marks)
                if letter is None:
                    raise NotThereError(f"{one}: what lies there is no letter")
                found.append(letter)
        return sorted(found, key=lambda letter: letter.place)


async def _marks(there: Reading) -> dict[str, Handled]:
    """Letter id → what was done with it."""
    marks, tally = {}, Tally()
    async for record in there.records(await there.starts(topics.HANDLED), tally):
        try:
            marks[(record.key or b"").decode()] = dead_letters.decode_handled(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("%s, offset %d cannot be read: %s", topics.HANDLED, record.offset, error)
    if not tally.complete:
        raise KafkaAwayError(f"{topics.HANDLED}: read {tally.read:,} of {tally.total:,} records, then time was up")
    return marks


@dataclass
class First:
    """The first `limit` letters of an order, less where they would be too large together."""

    limit: int
    newest: bool
    left_out: int = 0
    _bytes: int = 0
    _heap: list[tuple[Place, Letter]] = field(default_factory=list)  # the last one of them on top
    _bound: Place | None = None  # of the first one left out: nothing behind it is taken in

    def add(self, letter: Letter) -> None:
        written_ms, partition, offset = letter.place
        rank = letter.place if self.newest else (-written_ms, -partition, -offset)
        if self._bound is not None and rank <= self._bound:
            self.left_out += 1
            return
        heapq.heappush(self._heap, (rank, letter))
        self._bytes += _size(letter)
        while len(self._heap) > self.limit or (self._bytes > HELD_BYTES_MAX and len(self._heap) > 1):
            self._bound, last = heapq.heappop(self._heap)
            self._bytes -= _size(last)
            self.left_out += 1

    def letters(self) -> list[Letter]:
        return [letter for _, letter in sorted(self._heap, key=lambda held: held[0], reverse=True)]


def _letter(record: Any, marks: Mapping[str, Handled]) -> Letter | None:
    of = LetterId(record.topic, record.partition, record.offset)
    try:
        content = dead_letters.decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.warning("%s is no letter: %s", of, error)
        return None
    mark = marks.get(str(of))
    return Letter(of, record.timestamp, content, mark if mark and mark.letter_ms == record.timestamp else None)


def _size(letter: Letter) -> int:
    content = letter.content
    return len(content.value or b"") + len(content.key or b"") + 4 * len(content.detail) + LETTER_OVERHEAD_BYTES
