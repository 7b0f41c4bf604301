"""What any door does at least: batches decoded, and each event encoded and sent by aiokafka. No HTTP, no key."""

import asyncio

import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from bench import posting
from bench.contestants.meter import Meter, arguments
from gateway.ingest.judge import Posted

CONNECTIONS = 16


async def main() -> None:
    args = arguments()
    bodies = posting.native()
    decode, encode = msgspec.json.Decoder(list[Posted]).decode, msgspec.json.Encoder().encode
    producer = AIOKafkaProducer(
        bootstrap_servers=args.kafka, acks="all", enable_idempotence=True, max_batch_size=256 * 1024
    )
    await producer.start()
    meter = Meter(args)
    numbers = iter(range(1 << 31))

    async def post() -> None:
        for number in numbers:
            events = decode(posting.numbered(bodies[number % len(bodies)], number))
            await asyncio.gather(
                *[await producer.send(args.topic, encode(event), event.student_id.encode()) for event in events]
            )
            meter.add(len(events))

    await asyncio.gather(*(post() for _ in range(CONNECTIONS)))


if __name__ == "__main__":
    uvloop.run(main())
