"""How long a partition stands still when a worker joins, leaves by SIGTERM, joins again and is killed.

The real `aggregate` application under a steady load. Its `partials` say of which partition of `activity` they are, and
Kafka when they were sent: the longest time between two of one partition, in the `--watch` seconds after each change,
is the pause. `python -m bench.rebalance`
"""

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import application, cores, report
from bench.application import Application
from bench.harness import BenchError, say
from wire import partials, topics
from wire.partials import Partial

TITLE = "Pause when workers come and go"
RATE = 1_000.0
APART_S = 3.0  # before a change nothing is watched: the silence after it begins with the last word before it
STUDENTS = 500
BARS = {"none": "", "joins": "≤ 3", "leaves (SIGTERM)": "≤ 3", "joins again": "≤ 3", "is killed": "≤ 9 (session 6 s)"}


async def sent_ms(kafka: str) -> dict[int, list[int]]:
    """By partition of `activity`: when its partials were sent, epoch ms, sorted."""
    sent = defaultdict(list)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka, auto_offset_reset="earliest", isolation_level="read_committed"
    ) as consumer:
        partitions = [TopicPartition(topics.PARTIALS, number) for number in range(application.PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        deadline = time.monotonic() + 60
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            if time.monotonic() > deadline:
                raise BenchError("the partials cannot be read within a minute")
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    said = partials.decode(record.value or b"")
                    if isinstance(said, Partial):  # progress is told of what stands still, too
                        sent[said.partition].append(record.timestamp)
    return {partition: sorted(times) for partition, times in sent.items()}


def pause_s(sent: Mapping[int, Sequence[int]], from_ms: int, to_ms: int) -> tuple[float, float]:
    """The longest and the median partition's longest time between two, of those that end behind `from_ms` and begin
    before `to_ms`. A partition that is never heard of again stands still to the end."""
    longest = []
    for times in sent.values():
        after = next((time_ms for time_ms in times if time_ms >= to_ms), to_ms)
        bounds = [*(time_ms for time_ms in times if time_ms < to_ms), after]
        gaps = [later - earlier for earlier, later in pairwise(bounds) if later > from_ms]
        longest.append(max(gaps, default=to_ms - from_ms) / 1000)
    longest.sort()
    return longest[-1], longest[len(longest) // 2]


def experiment(app: Application, rate: float, watch_s: float) -> list[tuple[str, int, int]]:
    """What happened, from when, to when."""
    first = app.worker("first", pin=True)
    first.start()
    load = app.load(rate, watch_s * 7, STUDENTS)
    second = app.worker("second", pin=False)
    spans = []

    def watched(what: str) -> None:
        now_ms = int(time.time() * 1000)
        spans.append((what, now_ms, now_ms + int((watch_s - APART_S) * 1000)))

    try:
        load.start()
        time.sleep(watch_s / 2)
        watched("none")
        time.sleep(watch_s)
        for joins, leaves, end in (
            ("joins", "leaves (SIGTERM)", second.child.stop),
            ("joins again", "is killed", second.child.kill),
        ):
            watched(joins)
            second.child.start()
            time.sleep(watch_s)
            watched(leaves)
            end()
            time.sleep(max(0.0, spans[-1][2] / 1000 + APART_S - time.time()))
    finally:
        load.kill()
        second.child.kill()
        first.child.stop(30)
    return spans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=RATE, help="events a second")
    parser.add_argument("--watch", type=float, default=15.0, help="seconds after each change; above the session's")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    with application.running() as app:
        spans = experiment(app, args.rate, args.watch)
        sent = asyncio.run(sent_ms(app.kafka))
    if len(sent) < application.PARTITIONS:
        raise BenchError(f"only {len(sent)} of {application.PARTITIONS} partitions were heard of")
    rows, pauses = [], {}
    for what, from_ms, to_ms in spans:
        longest, median = pause_s(sent, from_ms, to_ms)
        pauses[what] = longest * 1000
        rows.append([what, f"{longest:.2f}", f"{median:.2f}", BARS[what]])
        say(f"  {what}: {longest:.2f} s")
    text = f"{args.rate:,.0f} events/s of {STUDENTS} students; watched for {args.watch:g} s after each change.\n\n"
    text += report.table(["a second worker", "longest pause s", "of the median partition", "bar"], rows)
    plot = report.bars(TITLE, pauses, "ms")
    say(f"\n{text}\n{report.machine()}\n{report.write(args.out, 'rebalance', TITLE, text, plot)}")


if __name__ == "__main__":
    main()
