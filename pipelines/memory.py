"""Memory that was freed goes back to the system.

glibc keeps what lies below anything still in use: a worker that once had a backlog would take what that needed for the
rest of its life.
"""

import asyncio
import ctypes

EVERY_S = 60.0


async def give_back() -> None:
    """Every now and then, for as long as the process lives. Returns where the C library cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(EVERY_S)
        trim(0)  # some 4 ms
