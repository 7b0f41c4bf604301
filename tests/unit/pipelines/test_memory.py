"""What was freed goes back to the system, wherever it lies."""

import asyncio
import ctypes

import psutil
import pytest
from running import eventually

from pipelines import memory

PART, PARTS = 100_000, 1_000  # bytes; smaller parts than those which glibc gives back at once


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library gives nothing back")
async def test_what_lies_below_something_still_in_use_goes_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [bytearray(b"x" * PART) for _ in range(PARTS)]
    del held[:-1]
    before = psutil.Process().memory_info().rss

    async def gone() -> bool:
        return before - psutil.Process().memory_info().rss > PART * PARTS / 2

    assert not await gone()
    monkeypatch.setattr(memory, "EVERY_S", 0.01)
    giving = asyncio.create_task(memory.give_back())
    try:
        await eventually(gone, 10, "it is given back")
    finally:
        giving.cancel()
