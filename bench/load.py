"""A steady load on `activity`, as a process of its own, so that who measures is not held up by it. Events of now.

python -m bench.load --kafka HOST:PORT --rate 1000 --students 5000 --seconds 30
"""

import argparse
import asyncio
import random
import time
from typing import Any

from aiokafka import AIOKafkaProducer

from bench import events
from bench.application import PARTITIONS
from bench.broker import partition_of
from wire import topics

TICK_S = 0.02
_ID, _AT_MS = "EVENT-ID", 1_111_111_111_111  # what is filled in anew


class Sender:
    """One student's events, made once and filled in, since this process shares its machine with what is measured."""

    def __init__(self, name: str, student: int) -> None:
        sent = events.one(_ID, f"{name}-{student:07d}", student, _AT_MS)
        self.key = sent.key
        self.partition = partition_of(sent.key, PARTITIONS)
        head, rest = sent.value.split(_ID.encode())
        self._parts = (head, *rest.split(str(_AT_MS).encode()))

    def value(self, event_id: bytes, at_ms: bytes) -> bytes:
        head, middle, between, end = self._parts
        return b"".join((head, event_id, middle, at_ms, between, at_ms, end))


async def run(kafka: str, rate: float, students: int, seconds: float, name: str) -> None:
    rng = random.Random(events.SEED)  # noqa: S311 - a simulation
    senders = [Sender(name, student) for student in range(students)]
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks=1, max_batch_size=512 * 1024) as producer:
        started = time.monotonic()
        sent = 0
        while (passed := time.monotonic() - started) < seconds:
            due, at_ms = int(passed * rate), int(time.time() * 1000)
            now, run = str(at_ms).encode(), name.encode()
            batches: dict[int, Any] = {}
            while sent < due:
                sender = senders[int(rng.random() * students)]
                partition = sender.partition
                batch = batches.get(partition) or batches.setdefault(partition, producer.create_batch())
                value = sender.value(b"%b-%010d" % (run, sent), now)
                if batch.append(key=sender.key, value=value, timestamp=at_ms) is None:
                    break  # full: the rest goes with the next tick
                sent += 1
            for partition, batch in batches.items():
                batch.close()
                await producer.send_batch(batch, topics.ACTIVITY, partition=partition)
            await asyncio.sleep(TICK_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--students", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--name", default="load", help="begins the ids of students and events: a run's own")
    args = parser.parse_args()
    asyncio.run(run(args.kafka, args.rate, args.students, args.seconds, args.name))


if __name__ == "__main__":
    main()
