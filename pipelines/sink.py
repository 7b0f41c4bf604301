"""What the sinks share: a batch of `metrics` is decoded, written to a store until it has it, and then acknowledged.

A store that is away holds its topic: nothing is skipped, and nothing else waits. What a store that is there does not
take in three tries is parked in a topic of its own, and the sink goes on.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from batching import Batch
from pipelines import dead_letters, telemetry
from pipelines.outlet import Outgoing, Outlet
from pipelines.records import Record
from pipelines.settings import WorkerSettings
from pipelines.tracing import newest
from pipelines.worker import App, Worker, create_app, producer_maker
from wire import metrics, topics
from wire.dead_letters import DeadLetter, Reason
from wire.metrics import ScopeUpdate

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0  # so that all is well within 15 s of a store being back
WANTED_S = 0.2  # how often a pause looks whether it is still wanted
# Between one try and the next, of all that a batch has left. Long enough for a lock or a restart to pass; short enough
# that a store which refuses everything slows its topic down and does not hold it.
RETRY_PAUSES_S = (1.0, 4.0)
DETAIL_MAX = 1_000  # characters of what a store says
AWAY_MAX = 200  # of them in a heartbeat
# Longer than a store's own timeouts: what is being written when a partition is given away is still waited for. Shorter
# than the 60 s after which the group goes on without who has not answered.
FLUSH_TIMEOUT_S = 40.0


class NotWanted(BaseException):
    """The partition is being given away while its store is away: the batch is its next owner's. As with CancelledError,
    no record is at fault."""


class Refused(NamedTuple):
    """What of an update the store has not taken."""

    number: int  # of the update, in what was to be written
    update: ScopeUpdate  # with those points alone
    error: Exception


class Store:
    """Where the updates go."""

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[ScopeUpdate]], Awaitable[int]],
        close: Callable[[], Awaitable[None]],
        unavailable: tuple[type[Exception], ...],
        refuses: Callable[[Exception], bool] = lambda _: False,
        retry_pauses_s: Sequence[float] = RETRY_PAUSES_S,
    ) -> None:
        """`write` may be made again, and returns the points written. It raises one of `unavailable` where that helps,
        and anything else, with any part written, where it does not; so `refuses` says of an error that it does not."""
        self.name = name
        self.close = close
        self.refuses = refuses
        self.away = ""  # its name and what it says, while it cannot be reached
        self._write = write
        self._unavailable = unavailable
        self._retry_pauses_s = retry_pauses_s
        self.tries = 1 + len(retry_pauses_s)

    async def settle(self, updates: Sequence[ScopeUpdate], wanted: Callable[[], bool] = lambda: True) -> list[Refused]:
        """Writes them in order, however long the store is away; returns what it has not taken in `tries` tries. Raises
        NotWanted soon after `wanted` says no."""
        left = await self._halving(list(enumerate(updates)), wanted)
        if left:
            left = _newest(left, updates)
        for pause_s in self._retry_pauses_s:
            if not left:
                break
            log.warning("not taken; trying again", store=self.name, updates=len(left), error=str(left[0].error))
            telemetry.SINK_RETRIES.labels(self.name).inc()
            await _sleep(random.uniform(pause_s / 2, pause_s), wanted)  # noqa: S311 -- jitter, not a secret
            left = [still for one in left for still in await self._halving([(one.number, one.update)], wanted)]
        return left

    async def _halving(self, told: list[tuple[int, ScopeUpdate]], wanted: Callable[[], bool]) -> list[Refused]:
        """Writes; refused, it halves updates, then points, until what is refused is alone. An update of `metrics` is a
        bundle of absolute values, so any part of it is one too."""
        if not wanted():
            raise NotWanted
        try:
            if told:
                await self._until_written([update for _, update in told], wanted)
            return []
        except Exception as error:
            if len(told) == 1 and len(told[0][1].points) < 2:
                return [Refused(*told[0], error)]
        left: dict[int, Refused] = {}
        for half in _halves(told):
            for one in await self._halving(half, wanted):
                before = left[one.number].update.points if one.number in left else []
                points = [*before, *one.update.points]
                left[one.number] = one._replace(update=ScopeUpdate(scope=one.update.scope, points=points))
        return list(left.values())

    async def _until_written(self, updates: Sequence[ScopeUpdate], wanted: Callable[[], bool]) -> None:
        """Exponential back-off with full jitter, without end: the records are safe in Kafka."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                written = await self._write(updates)
            except Exception as error:
                if not isinstance(error, self._unavailable) or self.refuses(error):
                    self._answers(pause_s)
                    raise
                telemetry.SINK_RETRIES.labels(self.name).inc()
                telemetry.SINK_WAITING.labels(self.name).set(1)
                self.away = f"{self.name}: {str(error) or type(error).__name__}"[:AWAY_MAX]
                if pause_s == FIRST_PAUSE_S:  # once an outage
                    log.warning("store away; its topic is held", store=self.name, error=str(error))
                await _sleep(random.uniform(0, pause_s), wanted)  # noqa: S311 -- jitter, not a secret
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self._answers(pause_s)
                telemetry.POINTS_WRITTEN.labels(self.name).inc(written)
                return

    def _answers(self, pause_s: float) -> None:
        if pause_s != FIRST_PAUSE_S:
            log.info("store is back", store=self.name)
        self.away = ""
        telemetry.SINK_WAITING.labels(self.name).set(0)


def _halves(told: list[tuple[int, ScopeUpdate]]) -> tuple[list[tuple[int, ScopeUpdate]], ...]:
    """Of several updates, or of the points of one."""
    if len(told) > 1:
        middle = len(told) // 2
        return told[:middle], told[middle:]
    ((number, update),) = told
    middle = len(update.points) // 2
    halves = update.points[:middle], update.points[middle:]
    return tuple([(number, ScopeUpdate(scope=update.scope, points=half))] for half in halves)


def _newest(left: Sequence[Refused], updates: Sequence[ScopeUpdate]) -> list[Refused]:
    """Without the points that a later update has anew: written behind it they would put an old value over the new."""
    last = {
        (update.scope, point.field, point.start_ms): number
        for number, update in enumerate(updates)
        for point in update.points
    }
    kept = []
    for number, update, error in left:
        points = [point for point in update.points if last[update.scope, point.field, point.start_ms] == number]
        if points or not update.points:
            kept.append(Refused(number, ScopeUpdate(scope=update.scope, points=points), error))
    return kept


async def _sleep(pause_s: float, wanted: Callable[[], bool]) -> None:
    until = time.monotonic() + pause_s
    while (left_s := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, WANTED_S))
        if not wanted():
            raise NotWanted


Carry = Callable[[Mapping[str, str]], None]


class Sink:
    """Agent of `metrics`."""

    def __init__(self, worker: Worker[App], store: Store, outlet: Outlet, carry: Carry) -> None:
        self._worker = worker
        self._carry = carry
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
        readable, updates, letters = [], [], []
        for record in batch.records:
            try:
                updates.append(metrics.decode(record.value or b""))
                readable.append(record)
            except Exception as error:
                reason = dead_letters.judge(error)
                detail = str(error) or repr(error)
                letters.append(dead_letters.dead_letter(topics.METRICS, batch.partition, record, reason, detail))
        following = self._worker.follow(topics.METRICS, batch.partition, readable)
        self._carry(newest(following.by_scope()))
        try:
            left = await self._store.settle(updates, lambda: self._worker.app.delivers(batch))
        except NotWanted:
            following.end(failed="given back")
            raise
        letters += [parked(self._store, batch.partition, readable[refused.number], refused) for refused in left]
        following.end(failed="parked" if left else "")
        if letters:
            parcel = await self._outlet.parcel()
            for letter in letters:
                data = dead_letters.write(self._worker.app.conf.id, letter)
                parcel.put(Outgoing(dead_letters.home(letter), letter.key, data))
            await parcel.delivered()


def parked(store: Store, partition: int, record: Record, refused: Refused) -> DeadLetter:
    """The letter for metrics.parked."""
    error = refused.error
    reason = Reason.REFUSED if store.refuses(error) else Reason.FAILED
    letter = dead_letters.dead_letter(
        topics.METRICS, partition, record, reason, f"{type(error).__name__}: {error}"[:DETAIL_MAX]
    )
    value = metrics.encode(refused.update)
    return msgspec.structs.replace(letter, value=value, sink=store.name, tries=store.tries)


def create(
    name: str, settings: WorkerSettings, store: Store, carry: Carry = lambda _: None, **limits: Any
) -> Worker[App]:
    """The worker of a store. `carry`: told, before a batch is written, the scopes whose update is traced, and the
    `traceparent` of each. `limits` are batching's."""
    app = create_app(name, settings, flush_timeout_s=FLUSH_TIMEOUT_S, **limits)
    worker = Worker(app, settings)
    worker.pulse.held_by = lambda: store.away
    outlet = Outlet(producer_maker(app), (topics.DEAD_LETTERS, topics.PARKED))
    app.agent(app.batch_topic(topics.METRICS), name=name)(Sink(worker, store, outlet, carry).run)
    worker.closes(store.close)
    worker.closes(outlet.close)
    return worker
