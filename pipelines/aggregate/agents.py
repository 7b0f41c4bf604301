"""What every agent of `aggregate` is: glue between batches and arithmetic, with something to tell.

docs/exactness.md has the why. The publisher collects what is to be told: partials, late and dead records, metrics.
Before a commit all of it has been acknowledged, and what has changed goes to the tables, which are committed with the
offsets, all or nothing.
"""

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Any, ClassVar, TypeVar

import msgspec

from batching import Batch, bisect
from batching.shard import Shard
from pipelines import dead_letters
from pipelines.aggregate.due import Due
from pipelines.outlet import Outgoing, Outlet
from pipelines.publisher import Publisher
from pipelines.records import Record
from pipelines.tracing import Trail
from pipelines.worker import App, Worker
from wire import metrics, topics
from wire.dead_letters import DeadLetter
from wire.metrics import ScopeUpdate

Value = TypeVar("Value")

APP = "aggregate"
OUTGOING_MAX = 10_000  # late and dead records of a partition that wait to be told; with more its agent waits too
# The same of minutes of students, and of panes of scopes: each makes a dozen values and more. History has hundreds of
# times as many of them in its events as a full school has live, and telling what was read of it in a second would take
# longer than a flush may.
NEW_MAX = 2_000


def now_ms() -> int:
    return int(time.time() * 1000)


class Telling(ABC):
    """An agent of one topic that has something to say: what is due, by the publisher's tick and before a commit."""

    name: ClassVar[str]

    def __init__(
        self, worker: Worker[App], topic: str, outlet: Outlet, share: float, wall_ms: Callable[[], int]
    ) -> None:
        self.publisher = Publisher(outlet, self, share)
        self._worker = worker
        self.topic = topic
        self._wall_ms = wall_ms
        self._due = Due()
        self._outgoing: dict[int, list[Outgoing]] = defaultdict(list)  # late and dead records, told with the next tick
        self._trails: defaultdict[int, Trail] = defaultdict(Trail)

    @property
    def dirty(self) -> Collection[int]:
        return self._due.ready

    def forget(self, partition: int) -> None:
        self._outgoing.pop(partition, None)
        self._trails.pop(partition, None)
        self._due.lost(partition)

    async def run(self, batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            with self._worker.batch(self.topic, len(batch.records)):
                new = await self._take(batch)
                self._due.read(batch.partition, batch.next_offset, self._shard(batch.partition).highwater[self.topic])
                self.publisher.wake()
                if len(self._outgoing[batch.partition]) > OUTGOING_MAX:
                    await self.publisher.told(batch.partition)
                await self._keep_up(batch.partition, new)

    @abstractmethod
    async def _take(self, batch: Batch) -> int:
        """Returns how much that is new, by the measure of NEW_MAX, is to be told."""

    async def _keep_up(self, partition: int, new: int) -> None:
        """Returns when there is not too much to be told."""
        if new > NEW_MAX:
            self._due.changed(partition)
            self._due.committing(partition)  # after a restart, too: it would only be more by the next commit
            await self.publisher.told(partition)

    async def _decoded(self, batch: Batch, decode: Callable[[bytes], Value]) -> list[Value]:
        """What its records hold; those that cannot be read become letters."""
        read: list[Value] = []

        def bury(record: Record, error: Exception) -> None:
            letter = dead_letters.dead_letter(
                self.topic, batch.partition, record, dead_letters.judge(error), str(error) or repr(error)
            )
            self._outgoing[batch.partition].append(letter_record(letter))

        await bisect(batch, lambda records: read.extend([decode(one.value or b"") for one in records]), bury)
        return read

    def collect(self, partition: int) -> Iterable[Outgoing]:
        self._due.told(partition)
        yield from self._outgoing.pop(partition, ())
        told, trail = self._collect(partition), self._trails[partition]
        yield from map(trail.on, told) if trail else told

    @abstractmethod
    def _collect(self, partition: int) -> Iterable[Outgoing]: ...

    @abstractmethod
    def restore(self, partition: int) -> None:
        """Its tables are as committed."""

    @abstractmethod
    def advance(self, partition: int) -> None:
        """Called before what is told before a commit: the commit before it is through."""

    @abstractmethod
    def store(self, partition: int) -> None:
        """Called before a commit, when everything of the partition has been told."""

    def _shard(self, partition: int) -> Shard:
        return self._worker.app.delivery.shards[partition]


def update_record(update: ScopeUpdate) -> Outgoing:
    return Outgoing(topics.METRICS, update.scope.encode(), metrics.encode(update))


def letter_record(letter: DeadLetter) -> Outgoing:
    return Outgoing(topics.DEAD_LETTERS, letter.key, dead_letters.write(APP, letter))


def msgpack(of: type[Any]) -> dict[str, Any]:
    """Of a table with structs of a type, which the agent holds as he needs them."""
    return {"keeps": False, "encode": msgspec.msgpack.Encoder().encode, "decode": msgspec.msgpack.Decoder(of).decode}
