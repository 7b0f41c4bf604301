"""Frames of RFC 6455 as a server sends them, made once for all who get them: unmasked, whole, uncompressed.

They are legal also where compression was negotiated.
"""

from collections.abc import Iterator

_TEXT = 0x81  # and whole


def text(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((_TEXT, size))
    elif size < 65_536:
        head = bytes((_TEXT, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_TEXT, 127)) + size.to_bytes(8, "big")
    return head + payload


def payloads(data: bytes) -> Iterator[bytes]:
    """What is in whole text frames, one behind the other."""
    at = 0
    while at < len(data):
        size, start = data[at + 1], at + 2
        if size >= 126:
            start += 2 if size == 126 else 8
            size = int.from_bytes(data[at + 2 : start], "big")
        at = start + size
        yield data[start:at]
