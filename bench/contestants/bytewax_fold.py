"""Bytewax: a tumbling window's fold. Its state is kept in SQLite by epochs of 1 s (`--option recovery`), or not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from bench.contestants.meter import Meter, arguments

WAIT = timedelta(seconds=5)
PANE = timedelta(seconds=10)
START = datetime(2023, 1, 1, tzinfo=UTC)
BATCH = 1_000


class Nothing(StatelessSinkPartition):  # type: ignore[misc]
    def write_batch(self, items: list[Any]) -> None:
        """What closes is dropped."""


class Drop(DynamicSink):  # type: ignore[misc]
    def build(self, *_: Any) -> Nothing:
        return Nothing()


def main() -> None:
    args = arguments()
    meter = Meter(args)

    def read(message: Any) -> tuple[str, dict[str, Any]]:
        return message.key.decode(), orjson.loads(message.value)

    def at(event: dict[str, Any]) -> datetime:
        return datetime.fromtimestamp(event["at_ms"] / 1000, UTC)

    def add(events: int, _event: dict[str, Any]) -> int:
        meter.add()
        return events + 1

    flow = Dataflow("count")
    source = KafkaSource([args.kafka], [args.topic], tail=True, batch_size=BATCH)
    keyed = op.map("read", op.input("in", flow, source), read)
    clock = windowing.EventClock(at, wait_for_system_duration=WAIT)
    panes = windowing.TumblingWindower(align_to=START, length=PANE)
    counts = windowing.fold_window("count", keyed, clock, panes, lambda: 0, add, lambda a, b: a + b)
    op.output("out", counts.down, Drop())
    if "recovery" in args.option:
        init_db_dir(args.home, 1)
        cli_main(flow, epoch_interval=timedelta(seconds=1), recovery_config=RecoveryConfig(args.home))
    else:
        cli_main(flow)


if __name__ == "__main__":
    main()
