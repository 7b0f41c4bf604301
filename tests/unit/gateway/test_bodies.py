"""Bodies as they come: packed, cut off, blown up, of no encoding anybody knows."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.bodies import BODY_MAX_BYTES, read_body
from gateway.problems import ProblemError

TEXT = b'[{"student_id": "s001"}]' * 100
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "zstd": zstandard.compress,
}


async def unpacked(body: bytes, encoding: str) -> bytes:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-encoding", encoding.encode())]
    return await read_body(Request({"type": "http", "method": "POST", "headers": headers}, receive))


async def refused(body: bytes, encoding: str) -> ProblemError:
    with pytest.raises(ProblemError) as refusal:
        await unpacked(body, encoding)
    return refusal.value


@pytest.mark.parametrize("encoding", PACKED)
async def test_what_was_packed_is_unpacked(encoding: str) -> None:
    packed = PACKED[encoding](TEXT)
    assert len(packed) < len(TEXT)
    assert await unpacked(packed, encoding.upper()) == TEXT
    assert await unpacked(PACKED[encoding](b""), encoding) == b""


async def test_a_zstd_stream_that_does_not_say_its_size_is_unpacked() -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    assert await unpacked(stream.compress(TEXT) + stream.flush(), "zstd") == TEXT


@pytest.mark.parametrize("encoding", PACKED)
async def test_as_much_as_allowed_is_unpacked_and_one_byte_more_is_413(encoding: str) -> None:
    assert len(await unpacked(PACKED[encoding](bytes(BODY_MAX_BYTES)), encoding)) == BODY_MAX_BYTES
    problem = await refused(PACKED[encoding](bytes(BODY_MAX_BYTES + 1)), encoding)
    assert problem.status_code == 413
    assert f"larger than {BODY_MAX_BYTES} bytes when unpacked" in problem.detail


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_bomb_is_413(encoding: str) -> None:
    assert (await refused(PACKED[encoding](bytes(200 * BODY_MAX_BYTES)), encoding)).status_code == 413


@pytest.mark.parametrize("encoding", PACKED)
async def test_what_is_cut_off_or_broken_or_goes_on_is_400(encoding: str) -> None:
    packed = PACKED[encoding](TEXT)
    for bad in (b"", packed[:-1], packed[:3], b"x" + packed, TEXT, packed + b"x", packed + packed):
        problem = await refused(bad, encoding)
        assert problem.status_code == 400
        assert f"the body is not {encoding}: " in problem.detail


async def test_a_zstd_frame_that_wants_much_memory_is_400() -> None:
    far = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=far).compressobj()
    assert (await refused(stream.compress(TEXT) + stream.flush(), "zstd")).status_code == 400


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "gzip;q=1"])
async def test_another_encoding_is_415_and_told_what_is_taken(encoding: str) -> None:
    problem = await refused(TEXT, encoding)
    assert problem.status_code == 415
    assert problem.headers == {"Accept-Encoding": "gzip, zstd, identity"}


@given(st.sampled_from(sorted(PACKED)), st.integers(0, 60), st.binary(max_size=4))
async def test_whatever_is_broken_it_is_unpacked_or_refused(encoding: str, at: int, put: bytes) -> None:
    packed = bytearray(PACKED[encoding](TEXT))
    packed[at : at + len(put)] = put
    statuses = []
    try:
        await unpacked(bytes(packed), encoding)
    except ProblemError as problem:
        statuses.append(problem.status_code)
    assert not statuses or statuses[0] in (400, 413)
