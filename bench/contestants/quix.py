"""Quix Streams: a tumbling window's count, its state in RocksDB, its changelog in Kafka."""

from typing import Any

from quixstreams import Application

from bench.contestants.meter import Meter, arguments

PANE_MS = 10_000
GRACE_MS = 5_000


def main() -> None:
    args = arguments()
    app = Application(
        broker_address=args.kafka,
        consumer_group=args.app,
        auto_offset_reset="earliest",
        state_dir=str(args.home),
        loglevel="WARNING",
        commit_interval=1.0,
        use_changelog_topics=True,
    )
    meter = Meter(args)

    def counted(_: Any) -> None:
        meter.add()

    def at_ms(value: Any, _headers: Any, _timestamp: float, _type: Any) -> int:
        return int(value["at_ms"])

    topic = app.topic(args.topic, key_deserializer="str", value_deserializer="json", timestamp_extractor=at_ms)
    window = app.dataframe(topic).tumbling_window(PANE_MS, grace_ms=GRACE_MS).count().current()
    window.update(counted)
    app.run()


if __name__ == "__main__":
    main()
