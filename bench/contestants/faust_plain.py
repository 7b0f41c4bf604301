"""Faust as its documentation shows it: a record type, a windowed table in memory, one event at a time."""

import sys
from datetime import timedelta
from typing import Any

import faust

from bench.contestants.meter import Meter, arguments


class Activity(faust.Record, serializer="json"):  # type: ignore[misc, call-arg]
    student_id: str
    kind: str
    at_ms: int
    score: int


def main() -> None:
    args = arguments()
    app = faust.App(
        args.app,
        broker=f"kafka://{args.kafka}",
        store="memory://",
        datadir=str(args.home),
        topic_partitions=args.partitions,
        topic_replication_factor=1,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    window = timedelta(seconds=10)
    counts = app.Table("counts", default=int, partitions=args.partitions).tumbling(window, expires=timedelta(days=1))
    meter = Meter(args, counted=lambda: sum(counts.table.data.values()))

    async def count(stream: Any) -> None:
        async for event in stream:
            counts[event.student_id] += 1
            meter.add()

    app.agent(app.topic(args.topic, key_type=str, value_type=Activity, partitions=args.partitions))(count)
    worker = faust.Worker(app, loglevel="INFO", quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()
    sys.exit("stopped before the measurement was done")


if __name__ == "__main__":
    main()
