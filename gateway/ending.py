"""The end of a task that goes round and round. Not for one that closes what it has open: that takes its time."""

import asyncio
from typing import Any

CANCEL_S = 0.2


async def ended(task: "asyncio.Task[Any] | None") -> None:
    """Cancels it until it has ended: a client library may lose a cancellation, as where a connection is just being made
    or refused. Raises nothing of it."""
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_S)
