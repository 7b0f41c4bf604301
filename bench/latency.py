"""How long from producing an event to the metric record it makes: on a quiet stack, and at half of what it can take.

Each probe is the one event of a student nobody has seen, so the first record of that student's scope in `metrics` is
the answer. `python -m bench.latency`
"""

import argparse
import asyncio
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench import application, broker, cores, events, report
from bench.application import Application
from bench.harness import BenchError, say
from wire import topics
from wire.scopes import Scope

TITLE = "From produce to metric record"
STUDENTS = 5_000
ANSWER_S_MAX = 20.0
BACKLOG = 1_500_000
SPAN_S = 45.0  # of event time that it holds
_DRAIN_S_MAX = 120.0


async def probe(kafka: str, number: int, every_s: tuple[float, float], name: str) -> list[float]:
    """Seconds of each probe, sorted; infinite where none came within ANSWER_S_MAX of the last one. The pause between
    two is drawn from `every_s`, so that they do not fall into step with anything."""
    rng = random.Random(events.SEED)  # noqa: S311 - a simulation
    sent: dict[bytes, float] = {}
    took: list[float] = []
    answered = asyncio.Event()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=50)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    async with consumer, producer:
        consumer.assign([TopicPartition(topics.METRICS, partition) for partition in range(application.PARTITIONS)])
        await consumer.seek_to_end()

        async def listen() -> None:
            async for record in consumer:
                started = sent.pop(record.key, None)
                if started is not None:
                    took.append(time.perf_counter() - started)
                    answered.set()

        listening = asyncio.create_task(listen())
        for index in range(number):
            student = f"{name}-{index}"
            event = events.one(f"{name}-{index}", student, index, int(time.time() * 1000))
            sent[str(Scope.student(student)).encode()] = time.perf_counter()
            await producer.send_and_wait(topics.ACTIVITY, key=event.key, value=event.value)
            await asyncio.sleep(rng.uniform(*every_s))
        deadline = time.monotonic() + ANSWER_S_MAX
        while sent and not listening.done() and time.monotonic() < deadline:
            answered.clear()
            await asyncio.wait(
                [asyncio.create_task(answered.wait()), listening], timeout=1, return_when="FIRST_COMPLETED"
            )
        listening.cancel()
    return sorted([*took, *(math.inf for _ in sent)])


def maximum(app: Application) -> float:
    """Events a second, from a backlog; returns when all of it is worked off. No worker is running."""
    from_ms = int((time.time() - SPAN_S) * 1000)
    broker.fill(
        app.kafka, topics.ACTIVITY, application.PARTITIONS, events.real(BACKLOG, STUDENTS, from_ms, SPAN_S, run="max")
    )
    worker = app.worker("maximum")
    worker.child.start()
    try:
        handled, seconds = app.pace(worker, 2.0, 5.0)
        deadline = time.monotonic() + _DRAIN_S_MAX
        while app.lag() > 0:
            if time.monotonic() > deadline:
                raise BenchError(f"{BACKLOG:,} events are not worked off after {_DRAIN_S_MAX:.0f} s")
            time.sleep(0.1)
    finally:
        worker.child.stop(30)
    return handled / seconds


def milliseconds(took: Sequence[float]) -> list[str]:
    chosen = [took[min(len(took) - 1, int(len(took) * share))] for share in (0.5, 0.9, 0.99, 1.0)]
    return ["no answer" if math.isinf(seconds) else f"{seconds * 1000:,.0f}" for seconds in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", type=int, default=150, help="events measured on the quiet stack, and under load")
    parser.add_argument("--rate", type=float, help="events a second under load; default: half of what is measured")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    with application.running() as app:
        most = 0.0 if args.rate else maximum(app)
        rate = args.rate or most / 2
        worker = app.worker()
        worker.start()
        try:
            asyncio.run(probe(app.kafka, 5, (0.1, 0.2), "warm"))
            quiet = asyncio.run(probe(app.kafka, args.probes, (0.1, 0.3), "quiet"))
            say(f"  quiet: p50, p90, p99, max {', '.join(milliseconds(quiet))} ms")
            say(f"  maximum {most:,.0f} events/s; load {rate:,.0f} events/s")
            load = app.load(rate, args.probes * 0.11 + 8, STUDENTS)
            load.start()
            try:
                time.sleep(3)  # until the load is steady; the measure comes after it
                loaded = asyncio.run(probe(app.kafka, args.probes, (0.05, 0.15), "loaded"))
                behind = app.lag()
            finally:
                load.kill()
        finally:
            worker.child.stop(30)
    rows = [
        ["quiet, one event a time", *milliseconds(quiet), "p50 ≤ 120, p99 ≤ 250"],
        [f"{rate:,.0f} events/s beside it", *milliseconds(loaded), "p99 ≤ 1,000"],
    ]
    text = (
        f"{args.probes} probes each. "
        + (f"The most it worked off: {most:,.0f} events/s; " if most else "")
        + f"not committed at the end: {behind:,}.\n\n"
        + report.table(["stack", "p50 ms", "p90 ms", "p99 ms", "max ms", "bar"], rows)
    )
    shares = [10, 25, 50, 75, 90, 95, 99]
    series = {
        name: [(float(share), min(took[int(len(took) * share / 100)], ANSWER_S_MAX) * 1000) for share in shares]
        for name, took in (("quiet", quiet), ("half load", loaded))
    }
    plot = report.lines(TITLE, series, "percentile", "ms")
    say(f"\n{text}\n{report.machine()}\n{report.write(args.out, 'latency', TITLE, text, plot)}")


if __name__ == "__main__":
    main()
