"""What the sinks share: a batch of `metrics` is decoded, written to a store until it has it, and then acknowledged."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from batching import Batch, bisect
from pipelines import dead_letters, telemetry
from pipelines.outlet import Outgoing, Outlet
from pipelines.records import Record
from pipelines.settings import WorkerSettings
from pipelines.worker import App, Worker, create_app, producer_maker
from wire import metrics, topics
from wire.metrics import ScopeUpdate

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
WANTED_S = 0.2  # how often a pause looks whether it is still wanted
# Longer than a store's own timeouts: what is being written when a partition is given away is still waited for. Shorter
# than the 60 s after which the group goes on without who has not answered.
FLUSH_TIMEOUT_S = 40.0


class NotWanted(BaseException):
    """The partition is being given away while its store is away: the batch is its next owner's. As with CancelledError,
    no record is at fault, so `bisect` lets it through."""


class Store:
    """Where the updates go. While it is away its topic is held: nothing is skipped, nothing else waits."""

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[ScopeUpdate]], Awaitable[int]],
        close: Callable[[], Awaitable[None]],
        unavailable: tuple[type[Exception], ...],
    ) -> None:
        """`write` may be made again, returns the points written, and raises one of `unavailable` where that makes
        sense."""
        self.name = name
        self.close = close
        self._write = write
        self._unavailable = unavailable

    async def until_written(self, updates: Sequence[ScopeUpdate], wanted: Callable[[], bool] = lambda: True) -> None:
        """Exponential back-off with full jitter, without end: the records are safe in Kafka. Raises NotWanted soon
        after `wanted` says no."""
        pause_s = FIRST_PAUSE_S
        waiting = telemetry.SINK_WAITING.labels(self.name)
        while True:
            try:
                written = await self._write(updates)
                break
            except self._unavailable as error:
                telemetry.SINK_RETRIES.labels(self.name).inc()
                waiting.set(1)
                if pause_s == FIRST_PAUSE_S:  # once an outage
                    log.warning("store away; its topic is held", store=self.name, error=str(error))
                await _sleep(random.uniform(0, pause_s), wanted)  # noqa: S311 -- jitter, not a secret
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        if pause_s != FIRST_PAUSE_S:
            log.info("store is back", store=self.name)
        waiting.set(0)
        telemetry.POINTS_WRITTEN.labels(self.name).inc(written)


async def _sleep(pause_s: float, wanted: Callable[[], bool]) -> None:
    until = time.monotonic() + pause_s
    while (left_s := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, WANTED_S))
        if not wanted():
            raise NotWanted


class Sink:
    """Agent of `metrics`."""

    def __init__(self, worker: Worker[App], store: Store, outlet: Outlet) -> None:
        self._worker = worker
        self._store = store
        self._outlet = outlet

    async def run(self, batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            with self._worker.batch(topics.METRICS, len(batch.records)) as taken:
                try:
                    await self._take(batch)
                except NotWanted:
                    taken.records = 0
                    self._worker.app.give_back(batch)

    async def _take(self, batch: Batch) -> None:
        async def write(records: Sequence[Record]) -> None:
            updates = [metrics.decode(record.value or b"") for record in records]
            await self._store.until_written(updates, lambda: self._worker.app.delivers(batch))

        async def bury(record: Record, error: Exception) -> None:
            letter = dead_letters.dead_letter(
                topics.METRICS, batch.partition, record, dead_letters.judge(error), str(error) or repr(error)
            )
            parcel = await self._outlet.parcel()
            parcel.put(Outgoing(topics.DEAD_LETTERS, letter.key, dead_letters.write(self._worker.app.conf.id, letter)))
            await parcel.delivered()

        await bisect(batch, write, bury)


def create(name: str, settings: WorkerSettings, store: Store) -> Worker[App]:
    """The worker of a store."""
    app = create_app(name, settings, flush_timeout_s=FLUSH_TIMEOUT_S)
    worker = Worker(app, settings)
    outlet = Outlet(producer_maker(app), (topics.DEAD_LETTERS,))
    app.agent(app.batch_topic(topics.METRICS), name=name)(Sink(worker, store, outlet).run)
    worker.closes(store.close)
    worker.closes(outlet.close)
    return worker
