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


async def run(kafka: str, rate: float, students: int, seconds: float, name: str) -> None:
    rng = random.Random(events.SEED)  # noqa: S311 - a simulation
    where: dict[bytes, int] = {}
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks=1, max_batch_size=512 * 1024) as producer:
        started = time.monotonic()
        sent = 0
        while (passed := time.monotonic() - started) < seconds:
            due, at_ms = int(passed * rate), int(time.time() * 1000)
            batches: dict[int, Any] = {}
            while sent < due:
                student = int(rng.random() * students)
                event = events.one(f"{name}-{sent:010d}", f"{name}-{student:07d}", student, at_ms)
                partition = where.setdefault(event.key, -1)
                if partition < 0:
                    partition = where[event.key] = partition_of(event.key, PARTITIONS)
                batch = batches.get(partition) or batches.setdefault(partition, producer.create_batch())
                if batch.append(key=event.key, value=event.value, timestamp=at_ms) is None:
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
