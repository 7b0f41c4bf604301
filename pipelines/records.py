"""A record of any transport, as the pipelines' arithmetic sees it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Record(Protocol):
    """Read-only. `timestamp` is in epoch ms, when the door wrote it; named as Kafka's own records have it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Message(NamedTuple):
    """The plain one."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
