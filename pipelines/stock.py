"""The workers on Faust's own transport and tables: CLASSPULSE_TRANSPORT=stock. To be deleted with this module.

Faust hands over one record at a time, writes a changelog record when it is told, and commits offsets apart from both.
So the order of writes makes a kill harmless: what is told; the students; the marker; the tombstones; then the ack.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec
import structlog
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery

from pipelines import dead_letters
from pipelines.aggregate import merge
from pipelines.aggregate.agents import APP
from pipelines.aggregate.folded import FoldedPartition
from pipelines.aggregate.folding import account_for, account_for_skipped, bounds
from pipelines.aggregate.marker import Marker, SeenIds
from pipelines.aggregate.merge import Held, Merge
from pipelines.aggregate.merging import account_for_refused, merge_restorer
from pipelines.aggregate.students import Student
from pipelines.records import Message
from pipelines.settings import AggregateSettings, WorkerSettings
from pipelines.sink import Store, parked
from pipelines.worker import Closing, Worker, options
from wire import metrics, partials, topics
from wire.dead_letters import DeadLetter
from wire.partials import Progress

log = structlog.get_logger(__name__)

State = TypeVar("State", bound=msgspec.Struct)

SLIDE_S = 1.0  # how often the passing of time is looked at; windows slide by 10 s

# A batch is what has arrived after this time or this many records, whichever is first.
TAKE_RECORDS = 500
TAKE_WITHIN_S = 0.05

# How long a worker may fetch nothing, because a store is away, and stay in its group. Thrown out for that it would not
# come back: Faust fetches when it has partitions, aiokafka joins when it fetches. That it lives is said by its
# heartbeats, whether it gets on by /readyz.
HELD_S_MAX = 30 * 86_400.0


class SeekFirst(Recovery):  # type: ignore[misc]
    """Faust's recovery of tables, without the hole between the last changelog record and the first event.

    Faust (0.15.3) un-pauses the streams' partitions while its fetcher runs, seeks them to their committed offsets, and
    then clears the agents' queues. What was fetched before the seek is thrown away with the queues, noted as a gap in
    the offsets, committed with it, and fetched again only later, behind events that came after it: a fold that goes by
    offsets has then passed it by. With the flow stopped before, nothing is fetched until all three are done.
    """

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        self.app.consumer.stop_flow()  # Faust resumes it at the end; after another rebalance the next recovery does
        await super().on_recovery_completed(generation_id)


class Tables(TableManager):  # type: ignore[misc]
    _recovery: Any

    @property
    def recovery(self) -> Any:
        if self._recovery is None:
            self._recovery = SeekFirst(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class App(Closing):
    def _create_directories(self) -> None:
        """None: the tables are in memory and in Kafka. Faust would leave an empty folder wherever it is started."""

    def bytes_topic(self, name: str) -> Any:
        """A topic whose keys and values stay bytes: our own decoders say what is wrong with a bad one."""
        return self.topic(
            name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True
        )

    def holds(self, tp: Any) -> bool:
        """Whether the partition is still ours: what was fetched before a rebalance is its new owner's to handle."""
        return tp in self.consumer.assignment()


class ByTheRecord:
    """What Faust's monitor knows of its reading."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._paused = False

    def held(self) -> dict[str, list[int]]:
        held: dict[str, list[int]] = defaultdict(list)
        for tp in sorted(self._assignment()):
            if tp.topic in self._app.topics.acking_topics:
                held[tp.topic].append(tp.partition)
        return dict(held)

    def lag_records(self) -> int:
        monitor = self._app.monitor
        held = self._assignment()
        return sum(
            max(0, end - 1 - monitor.tp_read_offsets.get(tp, -1))
            for tp, end in monitor.tp_end_offsets.items()
            if tp in held and tp.topic in self._app.topics.acking_topics and tp in monitor.tp_read_offsets
        )

    def waits_for(self) -> str:
        if not self._app.started or self._app.rebalancing:
            return "joining the consumer group"
        if self._app.tables and not self._app.tables.actives_ready:
            return "recovering its tables"
        return ""

    def pause(self, paused: bool) -> None:
        """Of what has been fetched already the agents get the rest. A rebalance undoes it, until the next heartbeat.

        Faust's own pause_partitions empties the very set that a fetch under way was given: what that brings it would
        throw away, and never read. So the set is another one.
        """
        tps = {tp for tp in self._assignment() if tp.topic in self._app.topics.acking_topics}
        if not tps:
            return
        if paused:
            consumer = self._app.consumer
            consumer._active_partitions = set(consumer._active_partitions) - tps
            consumer._paused_partitions.update(tps)
        elif self._paused and not self.waits_for():
            self._app.consumer.resume_partitions(tps)
        else:
            return
        self._paused = paused

    def _assignment(self) -> set[Any]:
        return set(self._app.assignor.assigned_actives()) if self._app.started else set()


def create(name: str, settings: WorkerSettings) -> Worker[App]:
    app = App(
        name,
        store="memory://",
        TableManager=Tables,
        broker_session_timeout=settings.session_s,
        broker_heartbeat_interval=settings.session_s / 6,
        broker_max_poll_interval=HELD_S_MAX,
        stream_wait_empty=True,  # what has been taken is finished and committed before a partition is given away
        **options(settings),
    )
    return Worker(app, settings, ByTheRecord(app))


class StateTable(Generic[State]):
    """A Faust table of msgspec structs. A write says its partition, and returns when the broker has acknowledged its
    changelog records. Recovery is Faust's own. Between writes the caller's objects are the truth: nothing is read here
    but after a recovery."""

    def __init__(self, app: App, name: str, of: type[State]) -> None:
        self._table = app.Table(name, key_type=bytes, value_type=bytes)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(of).decode

    def items(self) -> Iterator[tuple[bytes, State]]:
        return ((key, self._decode(value)) for key, value in self._table.data.items())

    async def write(self, partition: int, changes: Mapping[bytes, State | None]) -> None:
        """None deletes, with a tombstone."""
        sent = []
        for key, state in changes.items():
            value = None if state is None else self._encode(state)
            if value is None:
                self._table.data.pop(key, None)
            else:
                self._table.data[key] = value
            sent.append(self._table.send_changelog(partition, key, value))
        await asyncio.gather(*sent)


def by_partition(app: App, events: Iterable[Any]) -> dict[int, list[Message]]:
    """The records of a batch by partition, in order of offset; those of partitions lost meanwhile are left out."""
    out: dict[int, list[Message]] = defaultdict(list)
    for message in (event.message for event in events):
        if app.holds(message.tp):
            out[message.partition].append(
                Message(
                    message.offset, int(message.timestamp * 1000), message.key, message.value, message.headers or ()
                )
            )
    return out


async def delivered(sends: Iterable[Awaitable[Awaitable[Any]]]) -> None:
    """Puts the sends under way in order, then waits until the broker has acknowledged them all."""
    await asyncio.gather(*[await send for send in sends])


class Folding:
    """Agent of `activity`. A flush: what is told; then the students and event ids; then the marker; then the
    tombstones; then the ack."""

    def __init__(
        self, worker: Worker[App], settings: AggregateSettings, table: Callable[..., Any] = StateTable
    ) -> None:
        app = worker.app
        self._worker = worker
        self._settings = settings
        self._folded: dict[int, FoldedPartition] = {}
        self._partials = app.bytes_topic(topics.PARTIALS)
        self._metrics = app.bytes_topic(topics.METRICS)
        self._late = app.bytes_topic(topics.LATE)
        self._dead = app.bytes_topic(topics.DEAD_LETTERS)
        self._students = table(app, "students", Student)
        self._ids = table(app, "ids", SeenIds)
        self._markers = table(app, "partitions", Marker)
        self._homes = range(topics.load()[topics.PARTIALS].partitions)
        self._lock = asyncio.Lock()  # what was computed first is sent first

    def forget(self, partitions: Iterable[int]) -> None:
        """Another worker has them now; here they are restored anew when they come back."""
        for partition in partitions:
            self._folded.pop(partition, None)

    async def run(self, stream: Any) -> None:
        async for events in stream.take_events(TAKE_RECORDS, within=TAKE_WITHIN_S):
            with self._worker.batch(topics.ACTIVITY, len(events)):
                held = by_partition(self._worker.app, events)
                async with self._lock:
                    await asyncio.gather(*(self._flush(*of) for of in held.items()))

    async def slide(self) -> None:
        """Tells what the passing of time has changed. Called every SLIDE_S."""
        if self._worker.pulse.not_ready():
            return
        with self._worker.batch(topics.ACTIVITY, 0):
            async with self._lock:
                for tp in sorted(self._worker.app.consumer.assignment()):
                    if tp.topic == topics.ACTIVITY:
                        await self._flush(tp.partition, [])

    async def _flush(self, partition: int, messages: list[Message]) -> None:
        wall_ms = self._worker.now_ms()
        folded = self._folded.get(partition) or self._restore(partition, wall_ms)
        fold = folded.fold
        # What was written last is committed; and that nothing came for a while says that nothing is there.
        folded.look(wall_ms, unread=bool(messages))
        if messages:
            account_for_skipped(partition, fold.marker, messages[0].offset)
        following = self._worker.follow(topics.ACTIVITY, partition, messages)
        batch = fold.fold(messages)
        account_for(batch)
        following.end()
        if messages:
            folded.read(wall_ms, batch, len(messages))
        sends = []
        for said in folded.to_merge():
            value = partials.encode(said)
            if isinstance(said, Progress):
                sends += [self._partials.send(value=value, partition=home) for home in self._homes]
            else:
                sends.append(self._partials.send(key=said.scope.encode(), value=value))
        sends += [self._metrics.send(key=u.scope.encode(), value=metrics.encode(u)) for u in folded.of_students()]
        sends += [self._late.send(key=record.key, value=record.value) for record in batch.late]
        for rejected in batch.dead:
            sends.append(bury(self._dead, dead_letters.dead_letter(topics.ACTIVITY, partition, *rejected)))
        await delivered(sends)
        changes, seen = folded.changes()
        await self._students.write(partition, {id_.encode(): of for id_, of in changes.items() if of is not None})
        await self._ids.write(partition, {key.encode(): of for key, of in seen.items() if of is not None})
        if folded.promise(wall_ms):
            await self._markers.write(partition, {str(partition).encode(): fold.marker})
        # Before the marker, what is behind it would be judged again by a state that lacks these.
        await self._students.write(partition, {id_.encode(): None for id_, of in changes.items() if of is None})
        await self._ids.write(partition, {key.encode(): None for key, of in seen.items() if of is None})

    def _restore(self, partition: int, wall_ms: int) -> FoldedPartition:
        marker = next((marker for _, marker in self._markers.items() if marker.partition == partition), None)
        held = {key.decode(): student for key, student in self._students.items() if student.partition == partition}
        seen = {key.decode(): ids for key, ids in self._ids.items() if ids.partition == partition}
        log.info("partition restored", partition=partition, students=len(held), offset=marker and marker.offset)
        folded = self._folded[partition] = FoldedPartition(
            marker or Marker(partition), bounds(self._settings), self._settings.grace_s * 1000, held, seen, wall_ms
        )
        return folded


class Merging:
    """Agent of `partials`. A flush: metrics; then the windows, with how far time has come; then the ack."""

    def __init__(self, worker: Worker[App], settings: AggregateSettings) -> None:
        self._worker = worker
        self._restored = merge_restorer(settings)
        self._merges: dict[int, Merge] = {}
        self._metrics = worker.app.bytes_topic(topics.METRICS)
        self._dead = worker.app.bytes_topic(topics.DEAD_LETTERS)
        self._windows = StateTable(worker.app, "windows", Held)
        self._lock = asyncio.Lock()  # what was computed first is sent first

    def forget(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._merges.pop(partition, None)

    async def run(self, stream: Any) -> None:
        async for events in stream.take_events(TAKE_RECORDS, within=TAKE_WITHIN_S):
            with self._worker.batch(topics.PARTIALS, len(events)):
                wall_ms = self._worker.now_ms()
                async with self._lock:
                    for partition, messages in by_partition(self._worker.app, events).items():
                        held = self._merges.get(partition) or self._restore(partition, wall_ms)
                        for said in await readable(
                            APP, topics.PARTIALS, partition, messages, self._dead, partials.decode
                        ):
                            held.apply(said, wall_ms)
                        account_for_refused(held)
                    await self._flush(wall_ms)

    async def slide(self) -> None:
        """Tells what the passing of time has changed. Called every SLIDE_S."""
        if self._worker.pulse.not_ready():
            return
        with self._worker.batch(topics.PARTIALS, 0):
            wall_ms = self._worker.now_ms()
            for tp in sorted(self._worker.app.consumer.assignment()):
                # After a restart in an empty room nothing else would.
                if tp.topic == topics.PARTIALS and tp.partition not in self._merges:
                    self._restore(tp.partition, wall_ms)
            async with self._lock:
                await self._flush(wall_ms)

    async def _flush(self, wall_ms: int) -> None:
        """With the lock held: what is applied between telling and writing would be written untold."""
        merges = list(self._merges.items())
        for _, held in merges:
            held.time.advance()  # what was written last is committed
        updates = [update for _, held in merges for update in held.updates()]
        await delivered([self._metrics.send(key=u.scope.encode(), value=metrics.encode(u)) for u in updates])
        for partition, held in merges:
            changes = held.changes(wall_ms)
            await self._windows.write(partition, {merge.encode_key(key): of for key, of in changes.items()})

    def _restore(self, partition: int, wall_ms: int) -> Merge:
        stored = {merge.decode_key(key): held for key, held in self._windows.items() if held.home == partition}
        log.info("partition restored", partition=partition, windows=len(stored))
        held = self._merges[partition] = self._restored(partition, stored, wall_ms)
        return held


def aggregate(settings: AggregateSettings) -> Worker[App]:
    worker = create(APP, settings)
    app = worker.app
    folding, merging = Folding(worker, settings), Merging(worker, settings)
    app.agent(app.bytes_topic(topics.ACTIVITY), name="fold")(folding.run)
    app.agent(app.bytes_topic(topics.PARTIALS), name="merge")(merging.run)
    app.timer(SLIDE_S)(folding.slide)
    app.timer(SLIDE_S)(merging.slide)

    async def forget(_: Any, revoked: set[Any], **__: Any) -> None:
        folding.forget([tp.partition for tp in revoked if tp.topic == topics.ACTIVITY])
        merging.forget([tp.partition for tp in revoked if tp.topic == topics.PARTIALS])

    app.on_partitions_revoked.connect(forget, weak=False)
    return worker


def sink(name: str, settings: WorkerSettings, store: Store) -> Worker[App]:
    """The worker of a store: its agent of `metrics`, acknowledged when the store has the batch."""
    worker = create(name, settings)
    app = worker.app
    dead, parking = app.bytes_topic(topics.DEAD_LETTERS), app.bytes_topic(topics.PARKED)

    async def run(stream: Any) -> None:
        async for events in stream.take_events(TAKE_RECORDS, within=TAKE_WITHIN_S):
            with worker.batch(topics.METRICS, len(events)):
                held, updates = [], []
                for partition, messages in by_partition(app, events).items():
                    for message in messages:
                        read = await readable(name, topics.METRICS, partition, [message], dead, metrics.decode)
                        held += [(partition, message)] * len(read)
                        updates += read
                for refused in await store.settle(updates):
                    await delivered([bury(parking, parked(store, *held[refused.number], refused), name)])

    app.agent(app.bytes_topic(topics.METRICS), name=name)(run)
    worker.pulse.held_by = lambda: store.away
    worker.closes(store.close)
    return worker


async def readable(
    app_name: str, topic: str, partition: int, messages: Iterable[Message], dead: Any, decode: Callable[[bytes], Any]
) -> list[Any]:
    """What the messages hold; of those that cannot be read the letters are acknowledged when it returns."""
    read: list[Any] = []
    for message in messages:
        try:
            read.append(decode(message.value or b""))
        except dead_letters.UNREADABLE as error:
            letter = dead_letters.dead_letter(topic, partition, message, dead_letters.judge(error), str(error))
            await delivered([bury(dead, letter, app_name)])
    return read


def bury(dead: Any, letter: DeadLetter, app_name: str = APP) -> Any:
    return dead.send(key=letter.key, value=dead_letters.write(app_name, letter))
