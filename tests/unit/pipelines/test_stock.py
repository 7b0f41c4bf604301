"""What the agents of the stock transport write, and in which order: what a kill in between leaves is held in
aggregate/test_fold.py."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from classroom import event, records

from pipelines.records import Message as Record
from pipelines.settings import AggregateSettings
from pipelines.stock import Folding
from wire.events import Kind


class Message(NamedTuple):
    """What is used of a Faust message."""

    offset: int
    timestamp: float
    key: bytes | None
    value: bytes | None
    partition: int = 3
    tp: str = "activity-3"


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

    @contextmanager
    def batch(self, topic: str, records: int) -> Iterator[None]:  # noqa: ARG002 -- as the worker's
        yield


class _Topic:
    def __init__(self, book: Book, name: str) -> None:
        self._book, self._name = book, name

    async def send(self, *, key: bytes | None, value: bytes | None) -> Any:  # noqa: ARG002 -- as Faust's
        async def land() -> None:
            await asyncio.sleep(0)
            self._book.landed.append((self._name, (key or b"").decode()))

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
    happened = [event("s1", 0), event("s2", 1, Kind.HELP_REQUESTED), event("s3", 3 * 86_400), event("s2", 1)]
    log = records(happened)
    book = Book()
    worker: Any = book
    await Folding(worker, AggregateSettings(), book.table).run(Stream([log[:2], log[2:]]))
    steps: list[tuple[str, set[str]]] = []
    for what, key in book.landed:
        if not steps or steps[-1][0] != what:
            steps.append((what, set()))
        steps[-1][1].add(key)
    scopes = {"student:s1", "student:s2", "course:py101"}
    assert steps == [
        ("partials", scopes),
        ("students", {"s1", "s2"}),
        ("partitions", {"3"}),
        ("partials", {"student:s3", "course:py101"}),
        ("activity.late", {"s2"}),
        ("students", {"s2", "s3"}),
        ("partitions", {"3"}),
        ("tombstones", {"s1"}),
    ]
