"""The agent of `audit`: does what doors acknowledged agree with what fold made of it, all the time?"""

from collections.abc import Callable, Iterable
from typing import ClassVar

import msgspec
import structlog

from batching import Batch
from pipelines import telemetry
from pipelines.aggregate.agents import Telling, msgpack, now_ms
from pipelines.aggregate.audit import Books
from pipelines.outlet import Outgoing, Outlet
from pipelines.worker import App, Worker
from wire import audit, topics
from wire.audit import Balance, Claimed, Stage

log = structlog.get_logger(__name__)

SHARE = 0.02  # of the time, for telling balances


class Auditing(Telling):
    """Tells what each partition and minute adds up to."""

    name: ClassVar[str] = "audit"

    def __init__(self, worker: Worker[App], outlet: Outlet, wall_ms: Callable[[], int] = now_ms) -> None:
        super().__init__(worker, topics.AUDIT, outlet, SHARE, wall_ms)
        self._books: dict[int, Books] = {}
        self._told: dict[int, dict[int, Balance]] = {}  # partition → minute → as it was told
        self._changed: set[int] = set()  # partitions whose books are not written
        self._table = worker.app.write_behind_table("audit", source=topics.AUDIT, key_type=str, **msgpack(Books))

    def restore(self, partition: int) -> None:
        held = self._table.partition(partition).taken()
        books = self._books[partition] = held.get(str(partition)) or Books(partition)
        self._told[partition] = {balance.minute_ms: balance for balance in books.balances()}
        self._due.restored(partition)
        self._measure(books)

    def forget(self, partition: int) -> None:
        super().forget(partition)
        self._told.pop(partition, None)
        self._changed.discard(partition)
        if self._books.pop(partition, None):
            for stage in Stage:
                telemetry.AUDIT_DIFFERENCE.remove(partition, stage)

    async def _take(self, batch: Batch) -> int:
        books = self._books[batch.partition]
        self._changed.add(batch.partition)
        for said in await self._decoded(batch, audit.decode):
            if isinstance(said, Claimed):
                books.claimed(said)
            else:
                books.judged(said)
        return 0

    def _collect(self, partition: int) -> Iterable[Outgoing]:
        books = self._books.get(partition)
        if books is None:
            return
        balances = {balance.minute_ms: balance for balance in books.balances()}
        self._measure(books)
        told, self._told[partition] = self._told[partition], balances
        for minute_ms, balance in balances.items():
            before = told.get(minute_ms)
            if balance != before:
                yield Outgoing(topics.BALANCES, balance.key.encode(), audit.encode(balance))
                known = before.wrong if before else []
                for wrong in balance.wrong:
                    if wrong not in known:
                        log.error("it does not add up", partition=partition, **msgspec.structs.asdict(wrong))

    def advance(self, partition: int) -> None:
        self._due.committing(partition)
        books = self._books[partition]
        if books.look(self._shard(partition).highwater.get(topics.ACTIVITY, 0), self._wall_ms()):
            self._due.changed(partition)
            self._changed.add(partition)

    def store(self, partition: int) -> None:
        if partition in self._changed:
            self._changed.discard(partition)
            self._table.partition(partition).put({str(partition): self._books[partition]})

    def _measure(self, books: Books) -> None:
        for stage, difference in books.differences().items():
            telemetry.AUDIT_DIFFERENCE.labels(books.partition, stage).set(difference)
