"""What the sinks share: a batch of `metrics` is decoded, written to a store until it has it, and then acknowledged."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from pipelines import dead_letters, telemetry
from pipelines.worker import TAKE_RECORDS, TAKE_WITHIN_S, Worker, by_partition, delivered
from wire import metrics, topics
from wire.metrics import ScopeUpdate

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0

Write = Callable[[Sequence[ScopeUpdate]], Awaitable[int]]


class Sink:
    """Agent of `metrics`. While the store is away the topic is held: nothing is skipped, nothing else waits."""

    def __init__(self, worker: Worker, name: str, write: Write, unavailable: tuple[type[Exception], ...]) -> None:
        """`write` returns the points written and raises one of `unavailable` where trying again makes sense."""
        self._worker = worker
        self._name = name
        self._write = write
        self._unavailable = unavailable
        self._dead = worker.topic(topics.DEAD_LETTERS)

    async def run(self, stream: Any) -> None:
        async for events in stream.take_events(TAKE_RECORDS, within=TAKE_WITHIN_S):
            with self._worker.batch(topics.METRICS, len(events)):
                held = [message for of in by_partition(self._worker, events).values() for message in of]
                updates = [update for message in held if (update := await self._read(message))]
                if updates:
                    await self._until_written(updates)

    async def _read(self, message: Any) -> ScopeUpdate | None:
        try:
            return metrics.decode(message.value or b"")
        except dead_letters.UNREADABLE as error:
            letter = dead_letters.dead_letter(message, dead_letters.judge(error), str(error))
            await delivered([dead_letters.send(self._worker.app.conf.id, self._dead, letter)])
            return None

    async def _until_written(self, updates: Sequence[ScopeUpdate]) -> None:
        """Exponential back-off with full jitter, without end: the records are safe in Kafka."""
        pause_s = FIRST_PAUSE_S
        waiting = telemetry.SINK_WAITING.labels(self._name)
        while True:
            try:
                written = await self._write(updates)
                break
            except self._unavailable as error:
                telemetry.SINK_RETRIES.labels(self._name).inc()
                waiting.set(1)
                if pause_s == FIRST_PAUSE_S:  # once an outage
                    log.warning("store away; its topic is held", store=self._name, error=str(error))
                await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311 -- jitter, not a secret
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        if pause_s != FIRST_PAUSE_S:
            log.info("store is back", store=self._name)
        waiting.set(0)
        telemetry.POINTS_WRITTEN.labels(self._name).inc(written)
