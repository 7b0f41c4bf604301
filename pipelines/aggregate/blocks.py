"""What hardly changes any more of numbered windows, many of them together, in a small part of the memory. Pure."""

import zlib
from collections import defaultdict
from collections.abc import Callable, Container, Iterable
from typing import Generic, TypeVar

from pipelines.aggregate.compact import extended

Counts = TypeVar("Counts")

BLOCK = 30  # windows
_LEVEL = 1  # of zlib: by more it takes hardly less


class Blocks(Generic[Counts]):
    __slots__ = ("_closed", "_decode", "_newest", "_open")

    def __init__(self, decode: Callable[[bytes], list[tuple[int, Counts]]]) -> None:
        """`decode`: msgpack's, of the windows with their numbers."""
        self._decode = decode
        self._newest = -1  # the newest window there has ever been
        self._open = b""  # those of its block, packed; the block that grows
        self._closed: dict[int, bytes] = {}  # the other blocks: packed and compressed

    def add(self, windows: Iterable[tuple[int, object]]) -> None:
        """None of them is here already. A value: what `decode` gives, or `msgspec.Raw` of its msgpack."""
        blocks: defaultdict[int, list[tuple[int, object]]] = defaultdict(list)
        for window in windows:
            blocks[window[0] // BLOCK].append(window)
        for block, of in sorted(blocks.items()):
            newest = self._newest // BLOCK
            if block > newest and self._open:
                self._closed[newest] = zlib.compress(self._open, _LEVEL)
                self._open = b""
            if block >= newest:
                self._open = extended(self._open, of)
            else:
                self._closed[block] = zlib.compress(extended(self._packed(block), of), _LEVEL)
            self._newest = max(self._newest, *(number for number, _ in of))

    def around(self, number: int) -> list[tuple[int, Counts]]:
        """Those of the block that the window is in."""
        packed = self._packed(number // BLOCK) if number <= self._newest else b""
        return self._decode(packed) if packed else []

    def take(self, number: int) -> list[tuple[int, Counts]]:
        """The same; they are here no more."""
        out = self.around(number)
        if out and self._closed.pop(number // BLOCK, None) is None:
            self._open = b""
        return out

    def keep(self, wanted: Container[int]) -> None:
        """Drops what is not in a wanted block: number // BLOCK."""
        if self._newest // BLOCK not in wanted:
            self._open = b""
        self._closed = {block: of for block, of in self._closed.items() if block in wanted}

    def __bool__(self) -> bool:
        return bool(self._open or self._closed)

    def _packed(self, block: int) -> bytes:
        if block == self._newest // BLOCK:
            return self._open
        compressed = self._closed.get(block)
        return zlib.decompress(compressed) if compressed else b""
