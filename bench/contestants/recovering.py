"""How fast a table comes back from its changelog: `--option faust` for Faust's own, else ours.

`--events` is the number of changelog records, each of a key of its own, as bytes; a thread looks how many the table
has.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import faust

from bench.contestants.meter import RESULT, arguments
from bench.contestants.ours import counts_of, create

_LOOK_S = 0.01


class Watch:
    """Leaves the process when the table is whole. The clock starts when the worker is given its partitions."""

    def __init__(self, app: faust.App, held: Callable[[], int], wanted: int) -> None:
        self._held = held
        self._wanted = wanted
        self._from_s = 0.0
        self._from_cpu_s = 0.0
        app.on_partitions_assigned.connect(self._assigned, weak=False)
        threading.Thread(target=self._look, daemon=True).start()

    async def _assigned(self, *_: Any, **__: Any) -> None:
        self._from_s, self._from_cpu_s = time.perf_counter(), time.process_time()

    def _look(self) -> None:
        while not self._from_s or self._held() < self._wanted:
            time.sleep(_LOOK_S)
        result = {
            "handled": self._wanted,
            "events": self._wanted,
            "seconds": time.perf_counter() - self._from_s,
            "cpu_seconds": time.process_time() - self._from_cpu_s,
            "counted": self._held(),
        }
        sys.stdout.write(f"{RESULT}{json.dumps(result)}\n")
        sys.stdout.flush()
        os._exit(0)


def stock(name: str, kafka: str, topic: str, partitions: int, home: str) -> tuple[faust.App, Callable[[], int]]:
    app = faust.App(
        name,
        broker=f"kafka://{kafka}",
        store="memory://",
        datadir=home,
        topic_partitions=partitions,
        topic_replication_factor=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    table = app.Table("counts", key_type=bytes, value_type=bytes, partitions=partitions)
    channel = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw", partitions=partitions)
    app.agent(channel)(nothing)
    return app, lambda: len(table.data)


def ours(name: str, kafka: str, topic: str, partitions: int) -> tuple[faust.App, Callable[[], int]]:
    app = create(name, kafka, partitions, declare=False)
    channel = app.batch_topic(topic)
    counts = counts_of(app, topic)
    app.agent(channel)(nothing)

    def held() -> int:
        total = 0
        for number in range(partitions):
            try:
                total += len(counts.partition(number))
            except KeyError:  # not assigned yet
                return 0
        return total

    return app, held


async def nothing(stream: Any) -> None:
    async for _ in stream:
        pass


def main() -> None:
    args = arguments()
    if "faust" in args.option:
        app, held = stock(args.app, args.kafka, args.topic, args.partitions, str(args.home))
    else:
        app, held = ours(args.app, args.kafka, args.topic, args.partitions)
    Watch(app, held, args.events)
    worker = faust.Worker(app, loglevel="INFO", quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()
    sys.exit("stopped before the table was whole")


if __name__ == "__main__":
    main()
