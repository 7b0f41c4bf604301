"""What the package may be told beyond Faust's own settings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    unpacker: str = "lean"  # or "portable"
    batch_records: int = 5_000  # at some 3 µs a record the loop is held for 15 ms
    batch_bytes: int = 1_000_000  # what gathers is put together up to so much; estimated
    buffer_bytes: int = 16_000_000  # with so much waiting, only partitions with less than a batch of it are fetched
    fetch_max_wait_s: float = 0.05  # how long the broker may hold an empty fetch; Faust says 1.5
    fetch_min_bytes: int = 1  # ... or one with less than this
    flush_timeout_s: float = 20.0  # a commit that takes longer ends the process; below Faust's rebalance timeout of 60
    stop_s: float = 10.0  # an orderly stop has so long after its last flush; aiokafka may wait a minute for its group
    restore_stall_s: float = 60.0  # a recovery that reads nothing for so long ends the process
    changelog_batch_bytes: int = 256_000  # below the 1 MB that a broker takes by default
    gc_thresholds: tuple[int, int, int] = (50_000, 50, 1_000)  # set at the worker's start; nearly doubles the rate
