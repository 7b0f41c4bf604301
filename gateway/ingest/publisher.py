"""Events into the topic `activity`: idempotent, acknowledged by all replicas, or an error within PUBLISH_TIMEOUT_S.

aiokafka's idempotent producer never gives a batch up that it has sent: it sends it again, under the same sequence
number, until the broker has it. So after an error here an event may still arrive; its producer sends it again under the
same event id, and it counts once. Until those leftovers are settled nothing new is taken, so that they do not pile up
behind a broker that is away.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from wire import events, topics
from wire.events import ActivityEvent

log = structlog.get_logger(__name__)

PUBLISH_TIMEOUT_S = 3.0  # the door answers within 5 s, and the key may take 1.5 of them
CONNECT_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0  # for what is under way when the gateway stops
REQUEST_TIMEOUT_MS = 5_000  # a connection without an answer for so long is dead
BATCH_MAX_BYTES = 256 * 1024  # 500 events of one student in one round trip; a broker takes 1 MB
UNDER_WAY_MAX_BYTES = 32 * 2**20  # about 100,000 events: what two seconds of a busy broker can take
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


class PublisherAwayError(Exception):
    """Kafka has not acknowledged all of it. Any part of it may have arrived, or may yet."""


class Publisher:
    def __init__(self, servers: str) -> None:
        """`servers`: host:port, separated by commas."""
        self._servers = [address.strip() for address in servers.split(",")]
        self._producer: Any = None  # None: not connected
        self._failed = asyncio.Event()
        self._under_way = 0  # bytes
        self._left: set[asyncio.Future[Any]] = set()  # given up here, not yet settled by the producer
        self._away = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once; connects in the background, as often as it takes."""
        self._task = asyncio.create_task(self._keep(), name="publisher")

    async def stop(self) -> None:
        """Waits for what is under way, up to STOP_TIMEOUT_S."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def publish(self, batch: Sequence[ActivityEvent]) -> None:
        """Returns when Kafka has acknowledged every event. Raises PublisherAwayError, within PUBLISH_TIMEOUT_S."""
        try:
            await self._publish([(event.student_id.encode(), events.encode(event)) for event in batch])
        except PublisherAwayError as error:
            if not self._away:  # said once an outage
                log.warning("events cannot be published", reason=str(error))
            self._away = True
            raise
        if self._away:
            log.info("events are published again")
            self._away = False

    async def _publish(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        producer = self._producer  # of the whole batch: it may be replaced while we wait
        if producer is None:
            raise PublisherAwayError("Kafka is not connected")
        if self._left:
            raise PublisherAwayError("Kafka has not acknowledged earlier events yet")
        size = sum(len(value) for _, value in records)
        if self._under_way + size > UNDER_WAY_MAX_BYTES:
            raise PublisherAwayError("Kafka is slower than events arrive")
        self._under_way += size
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                for key, value in records:
                    sent.append(await producer.send(topics.ACTIVITY, value, key))
                    sent[-1].add_done_callback(self._settled)
                await asyncio.wait(sent)  # unlike `gather`, leaves them alone when the time is up
        except TimeoutError:
            for future in sent:
                if not future.done():
                    self._left.add(future)
                    future.add_done_callback(self._left.discard)
            raise PublisherAwayError(f"Kafka has not acknowledged within {PUBLISH_TIMEOUT_S:g} s") from None
        except KafkaError as error:
            if producer is self._producer:
                self._failed.set()
            raise PublisherAwayError(f"Kafka: {_told(error)}") from error
        finally:
            self._under_way -= size
        if failure := next(filter(None, (future.exception() for future in sent)), None):
            raise PublisherAwayError(f"Kafka: {_told(failure)}")

    def _settled(self, future: "asyncio.Future[Any]") -> None:
        # A batch that failed leaves a gap in its partition's sequence numbers, so that the broker refuses all that
        # follow: only a new producer goes on.
        if not future.cancelled() and future.exception() is not None:
            self._failed.set()

    async def _keep(self) -> None:
        """A connected producer, and another one when it has failed; without end."""
        pause_s = FIRST_PAUSE_S
        while True:
            producer = self._new()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await producer.start()
                self._failed.clear()
                self._producer = producer
                if pause_s != FIRST_PAUSE_S:
                    log.info("Kafka is reached", servers=self._servers)
                pause_s = FIRST_PAUSE_S
                await self._failed.wait()
                log.warning("the Kafka producer failed; making another")
            except (KafkaError, OSError) as error:  # TimeoutError is an OSError
                if pause_s == FIRST_PAUSE_S:  # said once an outage
                    log.warning("Kafka is not reached; trying on", servers=self._servers, reason=_told(error))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            except Exception:  # a fault of ours, or of the client library: the door must not stay shut for it
                log.exception("the Kafka producer failed; making another")
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            finally:
                self._producer = None
                await _close(producer)
                self._left.clear()  # what it has not settled by now, it never will
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter, not a secret

    def _new(self) -> Any:
        return AIOKafkaProducer(
            bootstrap_servers=self._servers,
            client_id="classpulse-gateway",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_batch_size=BATCH_MAX_BYTES,
        )


async def _close(producer: Any) -> None:
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
    except TimeoutError:
        # It waits for batches that no broker takes, and has no public way to be told not to.
        await producer._sender.close()
        await producer.client.close()


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
