"""The twelve things that may happen, each caused for real on a running stack, and undone.

Each is a generator with three steps: it has made ready and the stack is whole; it is caused; it is undone.
"""

import asyncio
import contextlib
import json
import signal
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from bench.contestants import flawed
from bench.harness import PROJECT, BenchError, beside
from bench.house import House
from stack import answers, ports
from stack.child import Child
from stack.home import Home
from stack.influx import BUCKET, ORG
from stack.plan import Part
from stack.processes import Worker
from stack.state import Board
from stack.supervisor import Supervisor
from wire import topics

REWOUND = 300  # records: how long it takes to be where it was hangs on it
LOAD_S = 120.0
TURN_S = 0.1  # of a process that is let run for a share of each
PARTITIONS = topics.load()[topics.METRICS].partitions

Steps = Generator[None, None, None]


@dataclass(frozen=True)
class Fault:
    name: str
    steps: Callable[[House], Steps]
    section: str  # of the runbook, that the first reason must link
    says: str  # what must be in its sentence; a regular expression


def worker_killed(house: House) -> Steps:
    yield
    with house.unattended():
        house.kill("live")
        yield
    yield


def worker_stopped(house: House) -> Steps:
    yield
    with house.unattended(), house.frozen("live"):
        yield
    yield


def loop_blocked(house: House) -> Steps:
    with another_live(house) as flaw:
        yield
        flaw.write_text("blocks")
        yield
        flaw.unlink()
        yield


def poison_record(house: House) -> Steps:
    with another_live(house) as flaw:
        yield
        course = f"poison-{uuid.uuid4().hex[:6]}"
        flaw.write_text(f"dies course:{course}")
        house.door().post(course)
        yield
        flaw.unlink()  # its code was mended
        yield


def sink_away(house: House) -> Steps:
    """InfluxDB is there, and its bucket is not."""
    yield
    with renamed_bucket(house):
        yield
    yield


def away(*names: str) -> Callable[[House], Steps]:
    def steps(house: House) -> Steps:
        yield
        before = {name: house.service(name).pid for name in names}
        with house.unattended():
            for name in names:
                house.kill(name)
            yield
        for name, pid in before.items():
            house.until_ready(name, but=pid)
        yield

    return steps


def hot_key(house: House) -> Steps:
    """One student at a rate at which nobody works, and a worker that has but a part of a processor."""
    yield
    with slowed(house, "aggregate", share=0.1), load(house, students=1, rate=6_000):
        yield
    yield


def slow_consumer(house: House) -> Steps:
    """A worker that has but a part of a processor, which is too little for the demo alone."""
    yield
    with slowed(house, "aggregate", share=0.05):
        yield
    yield


def group_rewound(house: House) -> Steps:
    """By hand, while its worker is being started again."""
    yield
    worker = house.process("live")
    with house.unattended():
        worker.terminate()
        asyncio.run(rewind(house, "live", topics.METRICS))
        yield
    house.until_ready("live", but=worker.pid)
    yield


FAULTS = (
    Fault("worker killed", worker_killed, "stopped", r"live is stopped: .*no member has owned it.*was killed"),
    Fault("worker stopped (SIGSTOP)", worker_stopped, "stopped", r"live is stopped: .*no member has owned it.*frozen"),
    Fault("event loop blocked", loop_blocked, "stalled", r"live is stalled: .*its worker .* sent no heartbeat"),
    Fault("sink away (it refuses)", sink_away, "server_away", r"history is away: .*bucket"),
    Fault("Redis away", away("valkey"), "server_away", r"redis is away"),
    Fault("InfluxDB away", away("influxd"), "server_away", r"history is away"),
    Fault("PostgreSQL away", away("postgres"), "server_away", r"postgresql is away"),
    Fault("broker away", away("kafka"), "server_away", r"kafka is away"),
    Fault("poison record", poison_record, "stalled", r"live is stalled: .*poison record"),
    Fault("hot key", hot_key, "falling_behind", r"aggregate is .*% of what comes into the topic comes into this"),
    Fault("slow consumer", slow_consumer, "falling_behind", r"aggregate is falling behind: .*come a second"),
    Fault("group rewound", group_rewound, "rewound", r"live is rewound: .*its offset went back"),
)


# --- how ---


class Flawed(Worker):
    """Started again when it ends, as the stack does it."""

    name: ClassVar[str] = "flawed"
    module: ClassVar[str] = flawed.__name__


@contextlib.contextmanager
def another_live(house: House) -> Iterator[Path]:
    """In the place of the stack's own; the file that says what is wrong with it."""
    folder = house.home.folder / "flawed"
    file = folder / "flaw"
    folder.mkdir(exist_ok=True)
    # Unlike the real one, it is in no package that is installed.
    settings = {**house.told.environment, flawed.FLAW: str(file), "PYTHONPATH": str(PROJECT)}
    worker = Flawed(folder, ports.free(), log=folder / "flawed.log", settings=settings)
    supervisor = Supervisor([Part(worker)], Board(Home(folder, house.home.cache)), lambda _: None)
    with house.unattended():
        house.process("live").terminate()
        supervisor.start()
        try:
            while not supervisor.ready:
                if supervisor.failure is not None:
                    raise BenchError(f"the flawed worker does not start: {supervisor.failure}")
                time.sleep(TURN_S)
            yield file
        finally:
            file.unlink(missing_ok=True)
            supervisor.stop()


@contextlib.contextmanager
def slowed(house: House, name: str, share: float) -> Iterator[None]:
    """It gets the processor for so much of the time."""
    process = house.process(name)

    def turns(over: threading.Event) -> None:
        while not over.is_set():
            process.send_signal(signal.SIGSTOP)
            over.wait(TURN_S * (1 - share))
            process.send_signal(signal.SIGCONT)
            over.wait(TURN_S * share)

    with beside(turns):
        yield


@contextlib.contextmanager
def load(house: House, students: int, rate: float) -> Iterator[None]:
    """`bench.load` beside the demo, at once."""
    folder = house.home.folder / "load"
    command = [sys.executable, "-m", "bench.load", "--kafka", house.told.environment["CLASSPULSE_KAFKA"]]
    options = ["--rate", f"{rate}", "--seconds", f"{LOAD_S}", "--students", f"{students}", "--name", uuid.uuid4().hex]
    child = Child(
        "load",
        [*command, *options],
        log=folder / "load.log",
        pid_file=folder / "load.pid",
        cwd=PROJECT,
    )
    child.start()
    try:
        yield
    finally:
        child.kill()


@contextlib.contextmanager
def renamed_bucket(house: House) -> Iterator[None]:
    settings = house.told.environment
    url, token = settings["CLASSPULSE_INFLUX_URL"], settings["CLASSPULSE_INFLUX_TOKEN"]
    found = answers.http_json(f"{url}/api/v2/buckets?org={ORG}&name={BUCKET}", token=token)
    if found is None or found[0] != 200:
        raise BenchError(f"InfluxDB does not tell of its bucket: {found}")
    where = f"{url}/api/v2/buckets/{found[1]['buckets'][0]['id']}"

    def call(name: str) -> None:
        request = urllib.request.Request(  # noqa: S310 -- the stack's own address
            where, json.dumps({"name": name}).encode(), {"Authorization": f"Token {token}"}, method="PATCH"
        )
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            pass

    call(f"{BUCKET}-elsewhere")
    try:
        yield
    finally:
        call(BUCKET)


async def rewind(house: House, group: str, topic: str) -> None:
    """By REWOUND records in each partition, as soon as nobody is in the group: else Kafka does not take it."""
    async with AIOKafkaConsumer(
        bootstrap_servers=house.told.environment["CLASSPULSE_KAFKA"], group_id=group, enable_auto_commit=False
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        back = {}
        for tp, first in (await consumer.beginning_offsets(partitions)).items():
            back[tp] = OffsetAndMetadata(max(first, (await consumer.committed(tp) or 0) - REWOUND), "")
        async with asyncio.timeout(30):
            while True:
                try:
                    await consumer.commit(back)
                except Exception:  # whatever Kafka calls it: the worker has not left yet
                    await asyncio.sleep(TURN_S)
                else:
                    return
