"""A request's body, bounded: FastAPI itself would read one of any size."""

import asyncio
import zlib
from collections.abc import Callable

import zstandard
from starlette.requests import ClientDisconnect, Request

from gateway.problems import ProblemError

BODY_MAX_BYTES = 2**20  # as it comes, and unpacked
BODY_TIMEOUT_S = 20.0  # 1 MB at 50 kB/s; who is slower sends less at once
JSON = "application/json"
NDJSON = "application/x-ndjson"
ENCODINGS = "gzip, zstd, identity"

_WINDOW_MAX_BYTES = 8 * 2**20  # what RFC 8878 asks of every decoder
_PIECE_BYTES = 256  # of a packed body: zstd makes 8 MB of it at most


def check_json(request: Request) -> None:
    """Raises ProblemError where the body says that it is something else."""
    check_type(request, JSON)


def check_type(request: Request, *kinds: str) -> str:
    """Which of these media types the body is said to be. Raises ProblemError where it is none, or not UTF-8."""
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if (kind := kind.strip()) not in kinds or charset not in ("", "charset=utf-8"):
        raise ProblemError(415, f"expected Content-Type: {' or '.join(kinds)}, in UTF-8")
    return kind


async def read_body(request: Request, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """Unpacked. Bounded in size, whatever Content-Length says, and in time. Raises ProblemError."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in _UNPACKED:
        detail = f"Content-Encoding: {encoding} is not taken: expected one of {ENCODINGS}"
        raise ProblemError(415, detail, headers={"Accept-Encoding": ENCODINGS})
    too_large = ProblemError(413, f"the body is larger than {BODY_MAX_BYTES} bytes: send less at once")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > BODY_MAX_BYTES):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_MAX_BYTES:
                    raise too_large
    except TimeoutError:
        raise ProblemError(408, f"the body was not there within {timeout_s:g} s") from None
    except ClientDisconnect:
        raise ProblemError(400, "the body ended early") from None  # nobody is there to read it
    try:
        unpacked = _UNPACKED[encoding](bytes(body))
    except ValueError as error:
        raise ProblemError(400, f"the body is not {encoding}: {error}") from None
    if len(unpacked) > BODY_MAX_BYTES:
        raise ProblemError(413, f"the body is larger than {BODY_MAX_BYTES} bytes when unpacked: send less at once")
    return unpacked


def _gunzip(packed: bytes) -> bytes:
    """At most one byte more than is allowed. Raises ValueError."""
    member = zlib.decompressobj(16 + zlib.MAX_WBITS)  # with a gzip header
    try:
        found = member.decompress(packed, BODY_MAX_BYTES + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(found) <= BODY_MAX_BYTES:
        _whole(ended=member.eof, rest=member.unused_data)
    return found


def _unzstd(packed: bytes) -> bytes:
    """Not much more than is allowed. Raises ValueError."""
    frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX_BYTES).decompressobj()
    found = bytearray()
    at = 0
    try:
        while at < len(packed) and not frame.eof and len(found) <= BODY_MAX_BYTES:
            found += frame.decompress(packed[at : at + _PIECE_BYTES])
            at += _PIECE_BYTES
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None
    if len(found) <= BODY_MAX_BYTES:
        _whole(ended=frame.eof, rest=frame.unused_data + packed[at:])
    return bytes(found)


def _whole(*, ended: bool, rest: bytes) -> None:
    if not ended:
        raise ValueError("it ends early")
    if rest:
        raise ValueError("there is something behind its end")


_UNPACKED: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "": bytes,
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "zstd": _unzstd,
}
