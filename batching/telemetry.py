"""What the package says of itself to Prometheus. Partition labels are few: a worker holds a handful of them."""

from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

_OF = ("app", "topic", "partition")

RECORDS = Counter("batching_records_total", "Records acknowledged by the agents", _OF)
BATCH_RECORDS = Histogram(
    "batching_batch_records", "Records a batch", ("app", "topic"), buckets=(1, 10, 50, 100, 500, 1000, 2000, 5000)
)
LAG_RECORDS = Gauge("batching_lag_records", "Offsets not acknowledged, as of the last fetch and flush", _OF)
LAG_SECONDS = Gauge("batching_lag_seconds", "Age of the record acknowledged last; 0 where nothing is left to read", _OF)
FLUSH_SECONDS = Histogram(
    "batching_flush_seconds",
    "One partition's flush, from the batch boundary to the end of the transaction",
    ("app",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
FLUSHED = Counter("batching_flushed_keys_total", "Table keys written to changelogs", ("app",))
FENCED = Counter("batching_fenced_total", "Partitions found taken over by another process", ("app",))
RESTORE_REMAINING = Gauge("batching_restore_remaining", "Changelog offsets still to be read", ("app",))
RESTORE_SECONDS = Gauge("batching_restore_seconds", "How long the last recovery read", ("app",))
HELD = Gauge("batching_partitions", "Partitions restored and delivered", ("app",))


@cache
def _counters(app: str, topic: str, partition: int) -> tuple[Counter, Histogram]:
    return RECORDS.labels(app, topic, partition), BATCH_RECORDS.labels(app, topic)


def acknowledged(app: str, topic: str, partition: int, records: int) -> None:
    """A batch of so many."""
    total, sizes = _counters(app, topic, partition)  # looking them up by label costs more than counting
    total.inc(records)
    sizes.observe(records)


def forget(app: str, topics: Iterable[str], partition: int) -> None:
    """Of a partition that is not ours any more there is nothing to say."""
    for topic in topics:
        for gauge in (LAG_RECORDS, LAG_SECONDS):
            with suppress(KeyError):
                gauge.remove(app, topic, str(partition))
