"""At which offsets of `activity` events were acknowledged, told to the topic `audit` about every second.

By a producer of its own: whatever becomes of that topic, events are published. It is idempotent, and never gives up
what it has sent, so that each offset is claimed once. What a door does not get to say (it was killed; the topic was
away for too long) shows as `unclaimed` in the audit, not as lost.
"""

import asyncio
import random
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from math import inf
from typing import Any, NoReturn

import structlog
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from gateway.ingest.publisher import CONNECT_TIMEOUT_S, close, idempotent
from wire import audit, topics
from wire.audit import Claimed, Runs

log = structlog.get_logger(__name__)

TELL_S = 1.0
LONGEST_PAUSE_S = 10.0
STOP_TIMEOUT_S = 2.0  # to send what is left when the gateway stops, and as long for Kafka to take it
FRESH_MAX = 20_000  # runs not yet in order: some 2.6 MB, and 10 ms to do it
RUNS_MAX = 20_000  # of a partition: some 2.6 MB. A door alone has one, for its offsets follow on each other
RUNS_A_RECORD = 5_000  # at most 200 KB


class Untold:
    """Offsets by partition, in bounded memory. Pure."""

    def __init__(self) -> None:
        self._fresh: defaultdict[int, Runs] = defaultdict(list)
        self._room = FRESH_MAX
        self._runs: dict[int, Runs] = {}
        self.forgotten = 0  # offsets: the lowest, where there were more than RUNS_MAX runs

    def note(self, partition: int, first: int, last: int) -> None:
        """No offset twice."""
        runs = self._fresh[partition]
        if runs and runs[-1][1] == first - 1:
            runs[-1] = (runs[-1][0], last)
            return
        runs.append((first, last))
        self._room -= 1
        if self._room <= 0:
            self._settle()

    def take(self) -> dict[int, Runs]:
        """All of them."""
        self._settle()
        taken, self._runs = self._runs, {}
        return taken

    def give_back(self, left: dict[int, Runs]) -> None:
        for partition, runs in left.items():
            self._add(partition, runs)

    def _settle(self) -> None:
        fresh, self._fresh, self._room = self._fresh, defaultdict(list), FRESH_MAX
        for partition, runs in fresh.items():
            self._add(partition, runs)

    def _add(self, partition: int, runs: Runs) -> None:
        kept = self._runs[partition] = audit.joined([*self._runs.get(partition, []), *runs])
        if (over := len(kept) - RUNS_MAX) > 0:
            self.forgotten += audit.number(kept[:over])
            del kept[:over]


class Claims:
    def __init__(self, servers: str, clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)) -> None:
        """`servers`: host:port, separated by commas."""
        self._servers = [address.strip() for address in servers.split(",")]
        self._clock_ms = clock_ms
        self._door = secrets.token_hex(6)
        self._untold = Untold()
        self._forgetful = False  # and has said so
        self._producer: Any = None  # None: not connected
        self._under_way: dict[asyncio.Future[Any], int] = {}  # sent, with how many offsets
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        """Returns at once; connects in the background when there is something to tell."""
        self._task = asyncio.create_task(self._keep(), name="claims")

    def note(self, partition: int, first: int, last: int) -> None:
        """Offsets that Kafka has acknowledged."""
        self._untold.note(partition, first, last)

    async def stop(self) -> None:
        """Tells what is left, in bounded time: a few seconds where Kafka does not answer. To be called when nothing is
        published any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._send()
        except (KafkaError, OSError) as error:  # TimeoutError is an OSError
            log.warning("what is left cannot be claimed", reason=_told(error))
        finally:
            if self._producer is not None:
                await close(self._producer, STOP_TIMEOUT_S)
        lost = sum(number for sent, number in self._under_way.items() if not sent.done() or sent.exception())
        lost += sum(map(audit.number, self._untold.take().values())) + self._untold.forgotten
        if lost:
            log.warning("the gateway stops with accepted events that it has not claimed", events=lost)

    async def _keep(self) -> NoReturn:
        pause_s = TELL_S
        while True:
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter, not a secret
            try:
                await self._tell()
            except (KafkaError, OSError) as error:
                if pause_s == TELL_S:  # said once an outage
                    log.warning("accepted events are not claimed; trying on", topic=topics.AUDIT, reason=_told(error))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            except Exception:  # a fault of ours, or of the client library
                log.exception("accepted events are not claimed; trying on")
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            else:
                if pause_s != TELL_S:
                    log.info("accepted events are claimed again", forgotten=self._untold.forgotten)
                pause_s = TELL_S

    async def _tell(self) -> None:
        """Sends what is new, and waits for none of it. Raises KafkaError, OSError."""
        if self._untold.forgotten and not self._forgetful:
            self._forgetful = True
            log.error("more accepted events than can be kept wait to be claimed: some never will be")
        if not all(sent.done() for sent in self._under_way):
            return  # one lot at a time: behind a broker that is away they would pile up
        lots, self._under_way = self._under_way, {}
        if lost := {error: number for sent, number in lots.items() if (error := sent.exception())}:
            # Nobody knows whether it lies in the topic, and said twice it would look as if Kafka had acknowledged two
            # events at one offset.
            log.error("accepted events are not claimed", events=sum(lost.values()), reason=_told(next(iter(lost))))
            producer, self._producer = self._producer, None
            await close(producer)
        await self._send()

    async def _send(self) -> None:
        left = self._untold.take()
        try:
            if not left:
                return
            producer = await self._connected()
            there = await producer.partitions_for(topics.AUDIT)
            for partition in left.keys() & there:
                runs = left[partition]
                while runs:
                    some = runs[:RUNS_A_RECORD]
                    said = Claimed(door=self._door, partition=partition, at_ms=self._clock_ms(), runs=some)
                    # Where this raises, or is cancelled, nothing was sent.
                    sent = await producer.send(topics.AUDIT, audit.encode(said), partition=partition)
                    self._under_way[sent] = audit.number(some)
                    del runs[: len(some)]
            if missing := sorted(left.keys() - there):
                raise UnknownTopicOrPartitionError(f"topic {topics.AUDIT} has no partition {missing[0]}")
        finally:
            self._untold.give_back({partition: runs for partition, runs in left.items() if runs})

    async def _connected(self) -> Any:
        if self._producer is None:
            producer = self._new()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await producer.start()
            except BaseException:
                await close(producer)
                raise
            self._producer = producer
        return self._producer

    def _new(self) -> Any:
        producer = idempotent(self._servers)
        # It would give up what has waited for a partition's leader for some seconds, though it may have sent it before.
        producer._message_accumulator._batch_ttl = inf
        return producer


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
