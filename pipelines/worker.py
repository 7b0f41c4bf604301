"""What every worker is: a Faust app with our settings, its own HTTP port, a heartbeat, and a way to run.

app = create_app("live", settings)      # also the consumer group
worker = Worker(app, settings)          # with worker.batch(topic, n): ...
run(worker)
"""

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, NoReturn, TypeVar

import faust
import msgspec
import structlog

from logs import lines
from pipelines import telemetry
from pipelines.alive import Pulse, Web
from pipelines.recovery import Tables
from pipelines.settings import WorkerSettings
from wire import topics

log = structlog.get_logger(__name__)

State = TypeVar("State", bound=msgspec.Struct)

# A batch is what has arrived after this time or this many records, whichever is first.
TAKE_RECORDS = 500
TAKE_WITHIN_S = 0.05

# How long a worker may fetch nothing, because a store is away, and stay in its group. Thrown out for that it would not
# come back: Faust fetches when it has partitions, aiokafka joins when it fetches. That it lives is said by its
# heartbeats, whether it gets on by /readyz.
HELD_S_MAX = 30 * 86_400.0

# Faust says "buffer full" where it merely holds a sender back, which is what its buffer is for.
QUIETER = {"aiokafka": "WARNING", "faust.transport.producer": "ERROR"}


# How long a worker that stops waits for what it has open to close: with the server away a good-bye may hang.
CLOSE_WITHIN_S = 1.0


class App(faust.App):  # type: ignore[misc]
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

    def _create_directories(self) -> None:
        """None: the tables are in memory and in Kafka. Faust would leave an empty folder wherever it is started."""


def create_app(name: str, settings: WorkerSettings) -> faust.App:
    """A Faust app with the topics of topics.yaml; Faust itself creates none. Opens nothing yet."""
    wanted = topics.load()
    return App(
        name,
        broker=[f"kafka://{address.strip()}" for address in settings.kafka.split(",")],
        store="memory://",
        TableManager=Tables,
        topic_partitions=wanted[topics.ACTIVITY].partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        broker_commit_interval=1.0,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_max_poll_interval=HELD_S_MAX,
        producer_acks=-1,
        producer_max_request_size=max(topic.max_message_bytes for topic in wanted.values()),
        stream_wait_empty=True,  # what has been taken is finished and committed before a partition is given away
        worker_redirect_stdouts=False,
        logging_config=_logging(settings),
    )


class Worker:
    """A running Faust app and what it says of itself."""

    def __init__(self, app: faust.App, settings: WorkerSettings) -> None:
        self.app = app
        self.settings = settings
        self.pulse = Pulse(app, settings)

    def topic(self, name: str) -> Any:
        """A topic whose keys and values stay bytes: our own decoders say what is wrong with a bad one."""
        return self.app.topic(
            name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True
        )

    def table(self, name: str, of: type[State]) -> "StateTable[State]":
        """A table with its changelog, which is the topic `<app>-<name>-changelog`."""
        return StateTable(self.app, name, of)

    def closes(self, close: Callable[[], Awaitable[None]]) -> None:
        """Called when the worker has stopped, and given up after CLOSE_WITHIN_S."""
        self.app.closes.append(close)

    def holds(self, tp: Any) -> bool:
        """Whether the partition is still ours: what was fetched before a rebalance is its new owner's to handle."""
        return tp in self.app.consumer.assignment()

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic that are ours now."""
        return sorted(tp.partition for tp in self.app.consumer.assignment() if tp.topic == topic)

    @contextmanager
    def batch(self, topic: str, records: int) -> Iterator[None]:
        """Around everything an agent does with a batch: counts and times it, and ends the process where it fails.

        Faust acknowledges a batch whose agent raised, and commits on an orderly stop; either would lose it. So the
        process leaves at once, and whoever starts it again reads the batch again. The same for a batch that is
        cancelled because the worker is told to stop.
        """
        started = time.monotonic()
        self.pulse.begins(started)
        try:
            yield
        except BaseException as error:
            stopping = not isinstance(error, Exception) and self.app.should_stop
            if stopping:
                log.warning("stopped with a batch under way; it will be read again", topic=topic, records=records)
            else:
                log.exception("batch failed; leaving so that it is read again", topic=topic, records=records)
            logging.shutdown()
            os._exit(os.EX_OK if stopping else os.EX_SOFTWARE)
        self.pulse.finished(started, records)
        telemetry.RECORDS.labels(self.app.conf.id, topic).inc(records)
        telemetry.BATCH_SECONDS.labels(self.app.conf.id).observe(time.monotonic() - started)


class StateTable(Generic[State]):
    """A Faust table of msgspec structs. A write says its partition, and returns when the broker has acknowledged its
    changelog records. Recovery is Faust's own. Between writes the caller's objects are the truth: nothing is read here
    but after a recovery."""

    def __init__(self, app: faust.App, name: str, of: type[State]) -> None:
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


def by_partition(worker: Worker, events: Iterable[Any]) -> dict[int, list[Any]]:
    """The messages of a batch by partition, in order of offset; those of partitions lost meanwhile are left out."""
    out: dict[int, list[Any]] = defaultdict(list)
    for event in events:
        if worker.holds(event.message.tp):
            out[event.message.partition].append(event.message)
    return out


async def delivered(sends: Iterable[Awaitable[Awaitable[Any]]]) -> None:
    """Puts the sends under way in order, then waits until the broker has acknowledged them all."""
    await asyncio.gather(*[await send for send in sends])


def run(worker: Worker) -> NoReturn:
    """Blocks until SIGTERM or SIGINT; leaves the process with Faust's exit code."""
    process = faust.Worker(
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
