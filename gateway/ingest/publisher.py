"""Events into the topic `activity`: idempotent, acknowledged by all replicas, or an error within PUBLISH_TIMEOUT_S.

aiokafka's idempotent producer never gives a batch up that it has sent: it sends it again, under the same sequence
number, until the broker has it. So after an error here an event may still arrive; its producer sends it again under the
same event id, and it counts once. Until those leftovers are settled nothing new is taken for their partitions, so that
they do not pile up behind a broker that is away.

Bounds: bytes under way in all, and of one student, whose partition others share: what he floods, he waits for.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gateway import correlation
from gateway.ingest.lanes import Acknowledged, Lanes, Record
from gateway.ingest.recent import Recent
from gateway.ingest.spool import Spool, SpoolError
from traces import context
from traces.context import NO_HEADERS, Headers
from traces.tracer import OFF, Attributes, Kind, Tracer
from wire import events, topics
from wire.events import ActivityEvent

log = structlog.get_logger(__name__)

PUBLISH_TIMEOUT_S = 3.0  # the door answers within 5 s, and the key may take 1.5 of them
CONNECT_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0  # for what is under way when the gateway stops
REQUEST_TIMEOUT_MS = 5_000  # a connection without an answer for so long is dead
BATCH_MAX_BYTES = 256 * 1024  # 500 events of one student in one round trip; a broker takes 1 MB
UNDER_WAY_MAX_BYTES = 32 * 2**20  # about 100,000 events: what two seconds of a busy broker can take
KEY_MAX_BYTES = 2 * 2**20  # of one student: any request, and as much again
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


class PublisherAwayError(Exception):
    """Kafka has not acknowledged all of it. Any part of it may have arrived, or may yet."""


class PublisherBusyError(PublisherAwayError):
    """More is under way than may be; nothing of it was sent."""


class Publisher:
    def __init__(
        self,
        servers: str,
        acknowledged: Acknowledged,
        under_way_max: int = UNDER_WAY_MAX_BYTES,
        spool: Spool | None = None,
        *,
        spooled_is_accepted: bool = False,
        tracer: Tracer = OFF,
    ) -> None:
        """`servers`: host:port, separated by commas. `acknowledged`: is told the offsets of events that Kafka has
        acknowledged, once. `under_way_max`: bytes of events not acknowledged yet; more are refused. `spool`: where
        events go that Kafka does not take, to be sent when it does."""
        self._acknowledged = acknowledged
        self._servers = [address.strip() for address in servers.split(",")]
        self._under_way_max = under_way_max
        self._lanes: Lanes | None = None  # None: not connected
        self._failed = asyncio.Event()
        self._under_way = 0  # bytes
        self._of_key: defaultdict[bytes, int] = defaultdict(int)  # the same, by student
        self._away = False
        self._spool = spool
        self._spooled_is_accepted = spooled_is_accepted
        self._tracer = tracer
        self._kept = Recent()  # those of the spool
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def under_way_bytes(self) -> int:
        """Of events that Kafka has not acknowledged yet."""
        return self._under_way

    @property
    def under_way_max_bytes(self) -> int:
        return self._under_way_max

    @property
    def connected(self) -> bool:
        return self._lanes is not None

    async def start(self) -> None:
        """Returns at once; connects in the background, as often as it takes. Raises SpoolError."""
        if self._spool is not None:
            self._spool.open()
            self._tasks.append(asyncio.create_task(self._replay(self._spool), name="spool"))
        self._tasks.append(asyncio.create_task(self._keep(), name="publisher"))

    async def stop(self) -> None:
        """Waits for what is under way, up to STOP_TIMEOUT_S; what the spool holds stays there."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._spool is not None:
            self._spool.close()

    async def publish(self, batch: Sequence[ActivityEvent]) -> None:
        """Returns when Kafka has acknowledged every event; where spooled is accepted, also when all are on the disk.

        Raises PublisherAwayError, within PUBLISH_TIMEOUT_S and what the disk takes.
        """
        if self._spool is not None and self._spool.holds:  # behind what waits there, as a student's events are in order
            await self._keep_back(self._spool, batch, "earlier events wait for Kafka on the disk")
            return
        try:
            await self._traced(batch)
        except PublisherBusyError:
            raise
        except PublisherAwayError as error:
            if self._spool is None:
                raise
            await self._keep_back(self._spool, batch, str(error))

    async def _traced(self, batch: Sequence[ActivityEvent]) -> None:
        """`_told`; where the request is traced, as a span that each of its records names. Raises PublisherAwayError."""
        if not self._tracer.on or (parent := correlation.current()) is None:
            return await self._told(_records(batch))
        attributes: Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": topics.ACTIVITY,
            "messaging.batch.message_count": len(batch),
        }
        span = self._tracer.begin(f"send {topics.ACTIVITY}", Kind.PRODUCER, parent, attributes)
        try:
            await self._told(_records(batch), context.headers([span.context]))
        except BaseException as error:
            span.end(failed=type(error).__name__)
            raise
        return span.end()

    async def publish_now(self, event: ActivityEvent) -> None:
        """One that is worth nothing later: no spool keeps it. Otherwise as `publish`."""
        await self._told(_records([event]))

    async def _keep_back(self, spool: Spool, batch: Sequence[ActivityEvent], why: str) -> None:
        """Raises PublisherAwayError where that is not as good as accepted."""
        self._kept.roll(time.monotonic())
        # Who gets 503 sends the same again every few seconds.
        fresh = [event for event in batch if not self._kept.knows(event.event_id, event.student_id)]
        try:
            if fresh:
                await spool.put(_records(fresh))
        except SpoolError as error:
            raise PublisherAwayError(f"{why}; {error}") from error
        for event in fresh:
            self._kept.add(event.event_id, event.student_id)
        if not self._spooled_is_accepted:
            raise PublisherAwayError(f"{why}; the events are kept on the disk, and will be sent when Kafka is back")

    async def _replay(self, spool: Spool) -> None:
        """What the spool holds, in order, as often as it takes; without end."""
        pause_s = FIRST_PAUSE_S
        while True:
            await spool.filled.wait()
            try:
                files, records = await spool.oldest()
                if records:
                    await self._publish(records)
                spool.drop(files)
            except Exception as error:
                if not isinstance(error, PublisherAwayError):
                    log.exception("the spool cannot be sent; trying on")
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter, not a secret
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
                continue
            pause_s = FIRST_PAUSE_S
            if not spool.holds:
                log.info("what waited in the spool is published")

    async def _told(self, records: Sequence[Record], headers: Headers = NO_HEADERS) -> None:
        """`_publish`, with a line in the log where an outage begins and ends. Raises PublisherAwayError."""
        try:
            await self._publish(records, headers)
        except PublisherBusyError:
            raise
        except PublisherAwayError as error:
            if not self._away:  # said once an outage
                log.warning("events cannot be published", reason=str(error))
            self._away = True
            raise
        if self._away:
            log.info("events are published again")
            self._away = False

    async def _publish(self, records: Sequence[Record], headers: Headers = NO_HEADERS) -> None:
        lanes = self._lanes  # of the whole batch: they may be replaced while we wait
        if lanes is None:
            raise PublisherAwayError("Kafka is not connected")
        sizes: defaultdict[bytes, int] = defaultdict(int)
        for key, value in records:
            sizes[key] += len(value)
        size = sum(sizes.values())
        if self._under_way + size > self._under_way_max:
            raise PublisherBusyError("Kafka is slower than events arrive")
        if any(self._of_key.get(key, 0) + more > KEY_MAX_BYTES for key, more in sizes.items()):
            raise PublisherBusyError("Kafka is slower than events of one student arrive")
        self._under_way += size
        for key, more in sizes.items():
            self._of_key[key] += more
        try:
            await self._through(lanes, records, headers)
        except KafkaError as error:
            raise PublisherAwayError(f"Kafka: {_said(error)}") from error
        finally:
            self._under_way -= size
            for key, more in sizes.items():
                self._of_key[key] -= more
                if not self._of_key[key]:
                    del self._of_key[key]

    async def _through(self, lanes: Lanes, records: Sequence[Record], headers: Headers) -> None:
        """Raises PublisherAwayError, KafkaError."""
        until = asyncio.get_running_loop().time() + PUBLISH_TIMEOUT_S
        try:
            async with asyncio.timeout_at(until):
                sorted_ = await lanes.sorted(records)
        except TimeoutError:
            raise PublisherAwayError(f"Kafka has not answered within {PUBLISH_TIMEOUT_S:g} s") from None
        if any(lane.given_up for lane, _ in sorted_):
            raise PublisherAwayError("Kafka has not acknowledged earlier events yet")
        now_ms = int(time.time() * 1000)
        waited = {done: lane for lane, some in sorted_ for done in lane.put(some, now_ms, headers)}
        done, left = await asyncio.wait(waited, timeout=until - asyncio.get_running_loop().time())
        for future in left:
            waited[future].give_up(future)
        if left:
            raise PublisherAwayError(f"Kafka has not acknowledged within {PUBLISH_TIMEOUT_S:g} s")
        if failure := next(filter(None, (future.exception() for future in done)), None):
            raise failure

    async def _keep(self) -> None:
        """A connected producer, and another one when it has failed; without end."""
        pause_s = FIRST_PAUSE_S
        while True:
            producer = self._new()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await producer.start()
                self._failed.clear()
                self._lanes = Lanes(producer, self._acknowledged, self._failed.set)
                if pause_s != FIRST_PAUSE_S:
                    log.info("Kafka is reached", servers=self._servers)
                pause_s = FIRST_PAUSE_S
                await self._failed.wait()
                log.warning("the Kafka producer failed; making another")
            except (KafkaError, OSError) as error:  # TimeoutError is an OSError
                if pause_s == FIRST_PAUSE_S:  # said once an outage
                    log.warning("Kafka is not reached; trying on", servers=self._servers, reason=_said(error))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            except Exception:  # a fault of ours, or of the client library: the door must not stay shut for it
                log.exception("the Kafka producer failed; making another")
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            finally:
                lanes, self._lanes = self._lanes, None
                if lanes is not None:
                    await lanes.close(STOP_TIMEOUT_S if not self._failed.is_set() else 0)
                await close(producer)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter, not a secret

    def _new(self) -> Any:
        return idempotent(self._servers, max_batch_size=BATCH_MAX_BYTES)


def _records(batch: Sequence[ActivityEvent]) -> list[Record]:
    return [(event.student_id.encode(), events.encode(event)) for event in batch]


def idempotent(servers: Sequence[str], **options: Any) -> Any:
    """A producer, not started yet."""
    return AIOKafkaProducer(
        bootstrap_servers=servers,
        client_id="classpulse-gateway",
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        **options,
    )


async def close(producer: Any, within_s: float = STOP_TIMEOUT_S) -> None:
    """Within about that time, whether Kafka has taken what was sent or not."""
    try:
        async with asyncio.timeout(within_s):
            await producer.stop()
    except TimeoutError:
        # It waits for batches that no broker takes, and has no public way to be told not to.
        await producer._sender.close()
        await producer.client.close()


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
