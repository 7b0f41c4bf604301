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
WAIT_S = 0.2  # who asks for health has an answer in 0.3 s, whatever hangs
FRESH_S = 1.0
LATE_S = 0.5
ASK_ENDS_S = 10.0  # a question without an answer is given up, and may be asked anew
WATCH_S = 5.0

log = structlog.get_logger(__name__)

Ask = Callable[[], Awaitable[str]]


class AwayError(Exception):
    """The server answers, but not as we need it; the message says what is wrong."""


@dataclass(frozen=True)
class Finding:
    up: bool
    latency_ms: float  # of its answer, or how long there has been none
    detail: str  # what the server said of itself, or why it is down
    asked_at: float  # epoch seconds: what is told is as of then
    since: float  # epoch seconds: up, or down, since then; at most since this process asked first
    last_error: str = ""
    last_error_at: float | None = None  # epoch seconds


class Probe:
    """Asks one server. However many want to know, one question is under way at a time, and nobody waits for it longer
    than WAIT_S: who would, is told what was found last, and how old that is. A client that hangs, even in cancelling,
    holds up nobody. The log hears of each change."""

    def __init__(self, name: str, ask: Ask, fresh_s: float = FRESH_S, clock: Callable[[], float] = time.time) -> None:
        """`ask` returns what is worth telling, or raises. `fresh_s`: what was found so lately is not asked again."""
        self.name = name
        self.was_up = False  # ever
        self._ask = ask
        self._fresh_s = fresh_s
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None
        self._asked_s = 0.0  # monotonic: when that began
        self._found: Finding | None = None
        self._found_s = 0.0  # monotonic
        self._up = True  # as the log has it

    async def finding(self) -> Finding:
        """Cancelling it leaves the question under way, for others may wait for it."""
        if self._found is not None and self._is_idle and time.monotonic() - self._found_s < self._fresh_s:
            return self._found
        return await self._after(DEADLINE_S if self._found is None else WAIT_S)

    async def settled(self) -> Finding:
        """The same for who has time: what is found now, not last."""
        return await self._after(DEADLINE_S)

    @property
    def _is_idle(self) -> bool:
        return self._asking is None or self._asking.done()

    async def _after(self, wait_s: float) -> Finding:
        if self._asking is None or self._asking.done():
            self._asked_s = time.monotonic()
            self._asking = asyncio.create_task(self._question())
        began_s = time.monotonic()
        wait_s = min(wait_s, max(0.0, self._asked_s + DEADLINE_S - began_s))
        await asyncio.wait([self._asking], timeout=wait_s)
        now_s = time.monotonic()
        # Where this process itself got no turn, the answer may lie there unread.
        was_late = now_s - began_s - wait_s > LATE_S
        if not self._asking.done() and (self._found is None or (now_s - self._asked_s >= DEADLINE_S and not was_late)):
            self._note(False, now_s - self._asked_s, f"no answer within {DEADLINE_S:g} s")
        assert self._found is not None  # noqa: S101 -- either the question or the line above has found something
        return self._found

    async def _question(self) -> None:
        try:
            async with asyncio.timeout(ASK_ENDS_S):
                up, detail = True, await self._ask()
        except Exception as error:  # whatever a client library raises, its server is of no use to us
            up, detail = False, str(error) or type(error).__name__
        took_s = time.monotonic() - self._asked_s
        self._note(up, took_s, detail)

    def _note(self, up: bool, took_s: float, detail: str) -> None:
        before, now = self._found, self._clock()
        self._found = Finding(
            up,
            round(took_s * 1000, 1),
            detail,
            now,
            before.since if before is not None and before.up == up else now,
            detail if not up else before.last_error if before is not None else "",
            now if not up else before.last_error_at if before is not None else None,
        )
        self._found_s = time.monotonic()
        self.was_up = self.was_up or up
        if up != self._up:
            self._up = up
            if up:
                log.info("is back", server=self.name, detail=detail)
            else:
                log.warning("is away", server=self.name, detail=detail)

    def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()


class Watch:
    """Asks again and again: an outage is told in the log even when nobody asks for health, and who does is told of what
    was found lately."""

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
            await asyncio.gather(*(probe.settled() for probe in self._probes))
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
