"""A record as the unpackers give it, for tests that fetch nothing."""

from typing import NamedTuple


class Line(NamedTuple):
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b"v"
    headers: tuple[tuple[str, bytes | None], ...] = ()
