"""What the agents of the stock transport write, and in which order: what a kill in between leaves is held in
aggregate/test_fold.py."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from classroom import event, records

from pipelines.records import Message as Record
from pipelines.settings import AggregateSettings
from pipelines.stock import Folding
from pipelines.tracing import Following
from traces.tracer import OFF
from wire.events import Kind


class Message(NamedTuple):
    """What is used of a Faust message."""

    offset: int
    timestamp: float
    key: bytes | None
    value: bytes | None
    partition: int = 3
    tp: str = "activity-3"
    headers: None = None


class Event(NamedTuple):
    message: Message


class Book:
    """Stands where the worker and its app do, and notes what has landed in topics and tables. Each write takes its
    time: one that is not awaited is overtaken."""

    def __init__(self) -> None:
        self.app = self
        self.landed: list[tuple[str, str]] = []

    def bytes_topic(self, name: str) -> "_Topic":
        return _Topic(self, name)

    def table(self, _: Any, name: str, of: type) -> "_Table":  # noqa: ARG002 -- as StateTable
        return _Table(self, name)

    def holds(self, tp: str) -> bool:  # noqa: ARG002 -- as the app's
        return True

    def now_ms(self) -> int:  # as the worker's
        return int(time.time() * 1000)

    @contextmanager
    def batch(self, topic: str, records: int) -> Iterator[None]:  # noqa: ARG002 -- as the worker's
        yield

    def follow(self, topic: str, partition: int, records: Iterable[Record]) -> Following:
        return Following(OFF, "aggregate", topic, partition, records)


class _Topic:
    def __init__(self, book: Book, name: str) -> None:
        self._book, self._name = book, name

    async def send(self, *, key: bytes | None = None, value: bytes | None, partition: int | None = None) -> Any:  # noqa: ARG002 -- as Faust's
        async def land() -> None:
            await asyncio.sleep(0)
            self._book.landed.append((self._name, key.decode() if key else "progress"))

        return asyncio.ensure_future(land())


class _Table:
    def __init__(self, book: Book, name: str) -> None:
        self._book, self._name = book, name

    def items(self) -> list[Any]:
        return []

    async def write(self, partition: int, changes: Mapping[bytes, Any]) -> None:
        assert partition == 3
        await asyncio.sleep(0)
        for key, state in changes.items():
            self._book.landed.append((self._name if state is not None else "tombstones", key.decode()))


class Stream:
    def __init__(self, batches: list[list[Record]]) -> None:
        self._batches = batches

    async def take_events(self, _: int, within: float) -> AsyncIterator[list[Event]]:  # noqa: ARG002 -- as Faust's
        for batch in self._batches:
            yield [Event(Message(one.offset, one.timestamp / 1000, one.key, one.value)) for one in batch]


async def test_a_flush_writes_what_is_said_then_the_living_then_the_marker_then_the_tombstones() -> None:
    day = 86_400
    happened = [event("s1", 0), event("s2", 1, Kind.HELP_REQUESTED), event("s3", 3 * day), event("s2", 1)]
    log = records([*happened, event("s3", 6 * day), event("s3", 6 * day + 1)])
    book = Book()
    worker: Any = book
    batches = [log[:2], log[2:4], log[4:5], log[5:]]
    await Folding(worker, AggregateSettings(), book.table).run(Stream(batches))
    flushes: list[list[tuple[str, str]]] = [[]]
    for landed in book.landed:
        if landed[0] == "partials" and flushes[-1] and flushes[-1][-1][0] != "partials":
            flushes.append([])
        flushes[-1].append(landed)
    order = ["partials", "metrics", "activity.late", "students", "ids", "partitions", "tombstones"]
    for flush in flushes:
        assert [order.index(what) for what, _ in flush] == sorted(order.index(what) for what, _ in flush)
        assert {"partials", "metrics", "students", "ids", "partitions"} <= {what for what, _ in flush}
        said = [key for what, key in flush if what == "partials"]
        assert set(said) == {"school:all", "course:py101", "progress"}
        assert said.index("progress") == 2, "who hears of it has heard the others"
    assert len(flushes) == len(batches)
    assert [key for what, key in flushes[1] if what == "activity.late"] == ["s2"]
    gone = [(number, key) for number, flush in enumerate(flushes) for what, key in flush if what == "tombstones"]
    assert (2, "s1") in gone
