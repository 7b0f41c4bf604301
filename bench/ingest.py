"""Events through the real gateway on one core into a real Kafka, acks=all, beside a bare loop of decode and aiokafka
send; and xAPI statements beside Ralph.

Batches of 100. Flat out, 16 connections each send when they have their answer; at half of that rate, a request's time
begins when it was due. What was accepted is counted in Kafka afterwards. `python -m bench.ingest`; statements are
posted too with `--ralph PYTHON`, the interpreter of an environment made by `requirements/bench-ralph.in`.
"""

import argparse
import asyncio
import base64
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import broker, cores, report
from bench.contestants.bare_door import CONNECTIONS
from bench.harness import PROJECT, BenchError, Contestant, Stretch, python, run, say
from bench.posting import EVENTS, RUN, Load, Posted, Target, native
from cli import broker as topics_broker
from gateway import schema
from gateway.database import connected
from gateway.security import keys
from producers.door import Door
from stack import answers, ports
from stack.child import Child
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.valkey import Valkey
from wire import topics

TITLE = "Events through the door"
PARTITIONS = topics.load()[topics.ACTIVITY].partitions
STATEMENTS = PROJECT.parent / "shared" / "data" / "fun-mooc" / "statements.json.gz"
READY_S_MAX = 30.0
BARS = "native ≥ 40,000/s or ≥ 60 % of the bare loop, p99 ≤ 50 ms at half load; xAPI ≥ 4 × Ralph"


@dataclass
class Measured:
    flat_out: Posted
    half: Posted | None = None


@contextmanager
def serving(name: str, command: list[str], port: int, ready: str, env: dict[str, str], home: Path) -> Iterator[None]:
    """A process on the contestants' core, once `ready` answers 200."""
    child = Child(
        name,
        cores.pinned(command),
        log=home / f"{name}.log",
        pid_file=home / f"{name}.pid",
        cwd=PROJECT,
        env={**os.environ, **env},
    )
    child.start()
    try:
        until = time.monotonic() + READY_S_MAX
        while answers.http_status(f"http://{ports.HOST}:{port}{ready}") != 200:
            if not child.running or time.monotonic() > until:
                lines = "\n".join(child.tail(30))
                raise BenchError(f"{name} does not answer at {ready}:\n{lines}")
            time.sleep(0.2)
        yield
    finally:
        child.stop(15)


@contextmanager
def gateway(kafka: Kafka, home: Path) -> Iterator[tuple[int, str]]:
    """Its port, and a key for it, with servers of its own."""
    postgres, valkey = Postgres(home / "postgres", cache=broker.CACHE), Valkey(home / "valkey", cache=broker.CACHE)
    postgres.start()
    try:
        valkey.start()
        try:
            key = asyncio.run(_prepared(kafka.address, postgres.url))
            port = ports.free()
            env = {
                "CLASSPULSE_KAFKA": kafka.address,
                "CLASSPULSE_REDIS_URL": valkey.url,
                "CLASSPULSE_POSTGRES_URL": postgres.url,
                "CLASSPULSE_GATEWAY_PORT": str(port),
                "CLASSPULSE_PROBE_EVERY_S": "0",
                "CLASSPULSE_RATE_LIMIT_EVENTS": "1000000000/minute",
            }
            with serving("gateway", python("gateway"), port, "/readyz", env, home):
                asyncio.run(_open(port, key))
                yield port, key
        finally:
            valkey.stop()
    finally:
        postgres.stop()


async def _open(port: int, key: str) -> None:
    """Returns when events are accepted."""
    async with Door(f"http://{ports.HOST}:{port}", key, patience_s=READY_S_MAX) as door:
        await door.post(json.loads(native()[0])[:1])


async def _prepared(kafka: str, postgres_url: str) -> str:
    async with topics_broker.connected(kafka, 30) as admin:
        wanted = topics.load()
        await admin.mend(await admin.plan(wanted))
        await admin.settle(wanted)
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        return await keys.create(database, "bench")


async def through(target: Target, stretch: Stretch, kafka: str | None, *, half: bool = True) -> Measured:
    """`kafka`: where every event accepted must lie in the end."""
    before = await _written(kafka) if kafka else 0
    load = Load(target)
    await load.flat_out(1, 0.0, 1.0)  # what is made at the first request is made once
    measured = Measured(await load.flat_out(CONNECTIONS, stretch.warm_s, stretch.for_s))
    if half:
        rate = measured.flat_out.rate / 2
        measured.half = await load.steadily(CONNECTIONS, stretch.warm_s, stretch.for_s, rate)
    if kafka and (written := await _written(kafka) - before) != load.sent * EVENTS:
        raise BenchError(f"{load.sent * EVENTS} events were accepted, and {written} lie in Kafka")
    return measured


async def _written(kafka: str) -> int:
    async with AIOKafkaConsumer(bootstrap_servers=kafka) as consumer:
        ends = await consumer.end_offsets([TopicPartition(topics.ACTIVITY, number) for number in range(PARTITIONS)])
        return sum(ends.values())


def statements() -> list[bytes]:
    """Bodies of real statements, each with an id of its own in every request."""
    bodies = []
    with gzip.open(STATEMENTS, "rt") as lines:
        for body in range(8):
            batch = []
            for index in range(EVENTS):
                statement = json.loads(next(lines))
                statement["id"] = f"{RUN.decode()}-0000-4000-8000-{body * EVENTS + index:012x}"
                batch.append(statement)
            bodies.append(json.dumps(batch).encode())
    return bodies


@contextmanager
def ralph(interpreter: str, home: Path) -> Iterator[Target]:
    """Uvicorn with the backend `fs`. From the second batch on its writes fail, with 500 after it has validated."""
    port, folder = ports.free(), home / "ralph"
    folder.mkdir()
    env = {
        "RALPH_APP_DIR": str(folder),
        "RALPH_AUTH_FILE": str(folder / "auth.json"),
        "RALPH_RUNSERVER_BACKEND": "fs",
        "RALPH_EXECUTION_ENVIRONMENT": "production",
        "RALPH_BACKENDS__LRS__FS__DEFAULT_DIRECTORY_PATH": str(folder / "statements"),
    }
    auth = [interpreter, "-m", "ralph", "auth", "-u", "bench", "-p", "bench", "-s", "all", "-N", "bench",
            "-M", "mailto:bench@example.org", "-w"]  # fmt: skip
    subprocess.run(auth, cwd=folder, env={**os.environ, **env}, capture_output=True, check=True, timeout=60)
    command = [interpreter, "-m", "uvicorn", "ralph.api:app", "--port", str(port), "--log-level", "critical"]
    with serving("ralph", command, port, "/__lbheartbeat__", env, home):
        basic = base64.b64encode(b"bench:bench").decode()
        headers = [f"Authorization: Basic {basic}", "X-Experience-API-Version: 1.0.3"]
        yield Target(port, "/xAPI/statements/", headers, statements(), (200, 500))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measure")
    parser.add_argument("--ralph", default="", help="a Python with Ralph in it")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    stretch = Stretch(2.0, args.seconds)
    bare = Contestant("bare loop", python("bench.contestants.bare_door"), "decode and aiokafka send")
    rates: dict[str, list[float]] = {}
    p99s: dict[str, list[float]] = {}

    def note(name: str, measured: Measured) -> None:
        rates.setdefault(name, []).append(measured.flat_out.rate)
        said = ""
        if measured.half is not None:
            p99s.setdefault(name, []).append(measured.half.percentile(0.99))
            said = f"; at half of it p99 {p99s[name][-1]:.1f} ms"
        say(f"  {name}: {rates[name][-1]:,.0f} events/s{said}")

    with tempfile.TemporaryDirectory(prefix="classpulse-bench-") as folder, broker.running() as kafka:
        home = Path(folder)
        with gateway(kafka, home) as (port, key):
            bearer = [f"Authorization: Bearer {key}"]
            ours = Target(port, "/api/v1/events", bearer, native(), (202,), b'"accepted":%d,' % EVENTS)
            for _ in range(args.rounds):
                note("the door, native", asyncio.run(through(ours, stretch, kafka.address)))
                rate = run(bare, kafka.address, topics.ACTIVITY, PARTITIONS, 1 << 40, stretch).rate
                note("bare loop", Measured(Posted(1.0, [0.0] * int(rate / EVENTS))))
                if args.ralph:
                    version = [*bearer, "X-Experience-API-Version: 1.0.3"]
                    xapi = Target(port, "/xapi/statements", version, statements(), (200,))
                    note("the door, xAPI", asyncio.run(through(xapi, stretch, None)))
                    with tempfile.TemporaryDirectory(dir=home) as own, ralph(args.ralph, Path(own)) as target:
                        note("Ralph 5.1, xAPI", asyncio.run(through(target, stretch, None, half=False)))
    _write(args.out, args.rounds, rates, p99s)


def _write(out: Path, rounds: int, rates: dict[str, list[float]], p99s: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(each) for name, each in rates.items()}
    rows = []
    for name, each in rates.items():
        beside = medians["Ralph 5.1, xAPI" if "xAPI" in name else "bare loop"]
        p99 = f"{statistics.median(p99s[name]):.1f}" if name in p99s else ""
        spread = f"{min(each):,.0f} to {max(each):,.0f}"
        rows.append([name, f"{medians[name]:,.0f}", spread, f"{medians[name] / beside:.2f}", p99])
    head = ["what", "events/s", "from round to round", "× its peer", "p99 at half load, ms"]
    about = f"Batches of {EVENTS}, {CONNECTIONS} connections; medians of {rounds} interleaved rounds. Bars: {BARS}.\n\n"
    plot = report.bars(TITLE, medians, "events/s")
    sys.stdout.write(report.write(out, "ingest", TITLE, about + report.table(head, rows), plot).read_text())


if __name__ == "__main__":
    main()
