"""One question to each server the gateway stands on, such as only a working one can answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import redis.asyncio as redis
import structlog
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from gateway.database import Database
from wire import topics

DEADLINE_S = 1.5  # a server that takes longer is down for whoever asks; a healthy one takes milliseconds
ASK_ENDS_S = 10.0  # a question without an answer is given up, and may be asked anew
WATCH_S = 5.0

log = structlog.get_logger(__name__)

Ask = Callable[[], Awaitable[str]]


class AwayError(Exception):
    """The server answers, but not as we need it; the message says what is wrong."""


@dataclass(frozen=True)
class Finding:
    up: bool
    latency_ms: float
    detail: str  # what the server said of itself, or why it is down


class Probe:
    """Asks one server. However many want to know, one question is under way at a time, and nobody waits for it longer
    than DEADLINE_S: a client that hangs, even in cancelling, holds up nobody. The log hears of each change."""

    def __init__(self, name: str, ask: Ask) -> None:
        """`ask` returns what is worth telling, or raises."""
        self.name = name
        self._ask = ask
        self._asking: asyncio.Task[tuple[bool, str]] | None = None
        self._up = True

    async def finding(self) -> Finding:
        """Cancelling it leaves the question under way, for others may wait for it."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._asked())
        asking = self._asking
        started = time.monotonic()
        await asyncio.wait([asking], timeout=DEADLINE_S)
        latency_ms = round((time.monotonic() - started) * 1000, 1)
        up, detail = asking.result() if asking.done() else (False, f"no answer within {DEADLINE_S:g} s")
        if up != self._up:
            self._up = up
            if up:
                log.info("is back", server=self.name, detail=detail)
            else:
                log.warning("is away", server=self.name, detail=detail)
        return Finding(up, latency_ms, detail)

    async def _asked(self) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(ASK_ENDS_S):
                return True, await self._ask()
        except Exception as error:  # whatever a client library raises, its server is of no use to us
            return False, str(error) or type(error).__name__

    def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()


class Watch:
    """Asks again and again, for the log's sake: an outage is told even when nobody asks for health."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="watch")

    async def stop(self) -> None:
        """Gives up the questions under way too, without waiting for their end."""
        if self._task is not None:
            self._task.cancel()
        for probe in self._probes:
            probe.stop()

    async def _run(self) -> NoReturn:
        while True:
            await asyncio.gather(*(probe.finding() for probe in self._probes))
            await asyncio.sleep(WATCH_S)


def kafka(bootstrap: str) -> Ask:
    """Any of the bootstrap servers knows the topic `activity`, and each of its partitions has a leader."""
    request = MetadataRequest([topics.ACTIVITY], allow_auto_topic_creation=False)

    async def ask() -> str:
        # A connection of its own: aiokafka's client would answer from what it remembers, and reconnect in its own time.
        refusals = []
        for host, port, _ in collect_hosts(bootstrap):
            try:
                connection = await create_conn(host, port, request_timeout_ms=int(DEADLINE_S * 1000))
                try:
                    return _with_leaders(await connection.send(request))
                finally:
                    connection.close()
            except (OSError, KafkaError, TimeoutError) as error:
                refusals.append(f"{host}:{port}: {str(error) or type(error).__name__}")
        raise AwayError("; ".join(refusals))

    return ask


def _with_leaders(answer: Any) -> str:
    ((code, topic, _, partitions),) = answer.topics
    if code:
        raise AwayError(f"topic {topic}: {for_code(code).__name__}: `classpulse topics apply` makes the topics")
    leaderless = [partition for error, partition, leader, *_ in partitions if error or leader < 0]
    if leaderless:
        raise AwayError(f"topic {topic}: partitions without a leader: {leaderless}")
    return f"topic {topic} has {len(partitions)} partitions, each with a leader"


def postgresql(database: Database, head: str) -> Ask:
    """The tables are at the migration `head`."""

    async def ask() -> str:
        version = await database.schema_version()
        if version != head:
            raise AwayError(f"the tables are at version {version}, not {head}: `classpulse db migrate` makes them so")
        return f"tables at version {version}"

    return ask


def pong(client: "redis.Redis") -> Ask:
    async def ask() -> str:
        await client.ping()
        return "PONG"

    return ask
