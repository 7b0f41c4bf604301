"""What an agent gets: records of one partition, in ascending offset."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from faust.types import TP


class Record(Protocol):
    """One record as aiokafka unpacked it: a ConsumerRecord or one of its own record objects. Read-only."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...  # epoch ms
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Chunk(NamedTuple):
    """What one fetch gave for one partition."""

    tp: TP
    records: Sequence[Record]  # may be empty: control records and aborted ones only move the position
    next_offset: int  # where reading goes on
    highwater: int  # the partition's end as the broker told it last; -1 where unknown


class Batch(NamedTuple):
    """A part of a chunk, or several, acknowledged as a unit: its agent's loop body has finished with it, or it is read
    again."""

    tp: TP
    records: Sequence[Record]
    next_offset: int
    size: int  # bytes, estimated

    @property
    def partition(self) -> int:
        return int(self.tp.partition)
