"""What every worker is: an app with our settings, its own HTTP port, a heartbeat, and a way to run.

app = create_app("live", settings)      # also the consumer group
worker = Worker(app, settings)          # with worker.batch(topic, n): ...
run(worker)
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Generic, NoReturn, TypeVar

import faust
import structlog
from aiokafka import AIOKafkaProducer

from batching import BatchingApp, Limits
from logs import lines, stacks
from pipelines import memory, telemetry
from pipelines.alive import Pulse, Web
from pipelines.pace import Busy, gap_s
from pipelines.reading import ByTheBatch, Reading
from pipelines.records import Record
from pipelines.settings import WorkerSettings
from pipelines.tracing import Following
from traces.tracer import Tracer
from wire import topics, workers

log = structlog.get_logger(__name__)

# Faust says "buffer full" where it merely holds a sender back, which is what its buffer is for.
# OpenTelemetry says at each try that its collector is away; `traces` does so once.
QUIETER = {"aiokafka": "WARNING", "faust.transport.producer": "ERROR", "opentelemetry": "CRITICAL"}

# How long a worker that stops waits for what it has open to close: with the server away a good-bye may hang.
CLOSE_WITHIN_S = 1.0

COMMIT_S = 1.0
COMMIT_SHARE = 0.15  # of the time, at most, that flushes take
# Between two flushes under load. What a kill leaves to do again is as much; and what is published waits for no longer.
LONGEST_COMMIT_S = 5.0


class Closing(faust.App):  # type: ignore[misc]
    """An app that closes what its worker has opened."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.closes: list[Callable[[], Awaitable[None]]] = []

    async def on_shutdown(self) -> None:
        """Faust calls it last, when no agent is at work any more."""
        for close in self.closes:
            try:
                await asyncio.wait_for(close(), CLOSE_WITHIN_S)
            except Exception as error:
                log.warning("not closed", what=close.__qualname__, error=repr(error))


class App(Closing, BatchingApp):
    """Flushes when Faust's timer says so, but seldom enough that flushing takes its share and no more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next_flush = 0.0  # monotonic
        self._busy = Busy()

    async def flush(self) -> bool:
        began = time.monotonic()
        if began < self._next_flush:
            return False
        flushed = await super().flush()
        ended = time.monotonic()
        self._next_flush = ended + gap_s(ended - began, COMMIT_SHARE, self._busy.share(), 0, LONGEST_COMMIT_S)
        return flushed


@dataclass
class Taken:
    """A batch under way."""

    records: int  # handled when it ends


AppT = TypeVar("AppT", bound=Closing)


def create_app(name: str, settings: WorkerSettings, **limits: Any) -> App:
    """An app with the topics of topics.yaml; Faust itself creates none. Opens nothing yet. `limits` are batching's."""
    return App(
        name, limits=Limits(unpacker=settings.unpacker, **limits), broker_session_timeout=settings.session_s,
        broker_heartbeat_interval=settings.session_s / 6, **options(settings),
    )  # fmt: skip


def options(settings: WorkerSettings) -> dict[str, Any]:
    """Faust's settings, on every transport."""
    wanted = topics.load()
    return {
        "broker": [f"kafka://{address.strip()}" for address in settings.kafka.split(",")],
        "topic_partitions": wanted[topics.ACTIVITY].partitions,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "broker_commit_interval": COMMIT_S,
        "producer_acks": -1,
        "producer_max_request_size": max(topic.max_message_bytes for topic in wanted.values()),
        "worker_redirect_stdouts": False,
        "logging_config": _logging(settings),
    }


def producer_maker(app: App) -> Callable[[], AIOKafkaProducer]:
    """For an Outlet, with the app's own servers and bounds. Idempotent: a retry neither doubles nor reorders."""

    def make() -> AIOKafkaProducer:
        settings = {**app.producer._settings_default(), **app.producer._settings_auth()}
        return AIOKafkaProducer(**settings | {"acks": "all", "enable_idempotence": True, "linger_ms": 0})

    return make


class Worker(Generic[AppT]):
    """A running app and what it says of itself."""

    def __init__(self, app: AppT, settings: WorkerSettings, reading: Reading | None = None) -> None:
        self.app = app
        self.settings = settings
        self.pulse = Pulse(app, settings, reading or ByTheBatch(app))
        app.task(memory.give_back)
        self._batch_seconds = telemetry.BATCH_SECONDS.labels(app.conf.id)
        self._records_of = cache(partial(telemetry.RECORDS.labels, app.conf.id))  # by topic
        self.traces = Tracer(settings.traces, f"classpulse-{app.conf.id}")
        if self.traces.on:
            self.closes(self._send_traces)

    def closes(self, close: Callable[[], Awaitable[None]]) -> None:
        """Called when the worker has stopped, and given up after CLOSE_WITHIN_S."""
        self.app.closes.append(close)

    def now_ms(self) -> int:
        """The wall clock, which stands still while the worker is paused, and goes on from there."""
        return self.pulse.obedience.worked_ms(int(time.time() * 1000))

    async def _send_traces(self) -> None:
        await self.traces.close(CLOSE_WITHIN_S * 0.8)

    def follow(self, topic: str, partition: int, records: Iterable[Record]) -> Following:
        """The traces that the records belong to; whoever asks has to end it."""
        return Following(self.traces, self.app.conf.id, topic, partition, records)

    @contextmanager
    def batch(self, topic: str, records: int) -> Iterator["Taken"]:
        """Around everything an agent does with a batch: counts and times it, and ends the process where it fails.

        Faust acknowledges a batch whose agent raised, and commits on an orderly stop; either would lose it. So the
        process leaves at once, and whoever starts it again reads the batch again. The same for a batch that is
        cancelled because the worker is told to stop.
        """
        started = time.monotonic()
        self.pulse.begins(started)
        taken = Taken(records)
        try:
            yield taken
        except BaseException as error:
            stopping = not isinstance(error, Exception) and self.app.should_stop
            if stopping:
                log.warning("stopped with a batch under way; it will be read again", topic=topic, records=records)
            else:
                log.exception("batch failed; leaving so that it is read again", topic=topic, records=records)
            logging.shutdown()
            os._exit(os.EX_OK if stopping else workers.EXIT_BATCH_FAILED)
        self.pulse.finished(started, taken.records)
        self._records_of(topic).inc(taken.records)
        self._batch_seconds.observe(time.monotonic() - started)


AnyWorker = Worker[Any]


class Process(faust.Worker):  # type: ignore[misc]
    """Ends when all is closed."""

    async def _sentinel_task(self) -> None:
        """mode sleeps for a second here, in which whoever takes over waits too; what is left needs it, and hardly ever
        is anything."""
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=CLOSE_WITHIN_S)


def run(worker: AnyWorker) -> NoReturn:
    """Blocks until SIGTERM or SIGINT; leaves the process with Faust's exit code."""
    stacks.on_quit()
    process = Process(
        worker.app,
        worker.pulse,
        Web(worker.pulse, worker.settings),
        loglevel=worker.settings.log_level,
        quiet=True,
        redirect_stdouts=False,
        logging_config=_logging(worker.settings),
    )
    process.execute_from_commandline()
    raise SystemExit(os.EX_OK)


def _logging(settings: WorkerSettings) -> dict[str, Any]:
    return lines.config(settings.log_format, settings.log_level, QUIETER)
