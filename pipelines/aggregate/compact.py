"""How what there is by the hundred thousand is kept small: one object for all that are equal, and lists as msgpack that
grow without being read. Pure."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

Same = TypeVar("Same")
SAME_MAX = 4_096  # what is not among the newest so many is another object

_encode = msgspec.msgpack.Encoder().encode
_LIST = b"\xdd"  # msgpack's "array 32", of any length
_HEADER = 5  # its type, and how many there are


def same(_of: type[Same]) -> Callable[[Same], Same]:
    """A function that gives one object for all that are equal."""
    return lru_cache(maxsize=SAME_MAX)(lambda one: one)


same_number = same(int)


def extended(packed: bytes, items: Iterable[Any]) -> bytes:
    """A packed list with these at its end; b"" to begin with."""
    more = [_encode(item) for item in items]
    number = int.from_bytes(packed[1:_HEADER], "big") + len(more)
    return b"".join((_LIST, number.to_bytes(_HEADER - 1, "big"), packed[_HEADER:], *more))
