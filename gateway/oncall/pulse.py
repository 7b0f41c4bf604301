"""How this process does: how late its event loop wakes, what collecting garbage takes, how much memory it has."""

import asyncio
import contextlib
import gc
import os
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from gateway.ending import ended

EVERY_S = 0.25
KEPT = 240  # a minute
_STATM = Path("/proc/self/statm")


class LoopLag(NamedTuple):
    """Seconds; of the last minute."""

    now_s: float
    p50_s: float
    p99_s: float
    worst_s: float


def summed(lags_s: list[float]) -> LoopLag | None:
    """In the order they were measured. None: there are none. Pure."""
    if not lags_s:
        return None
    ordered = sorted(lags_s)
    return LoopLag(lags_s[-1], _at(ordered, 0.5), _at(ordered, 0.99), ordered[-1])


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Collections(NamedTuple):
    """Of one generation, since `start`."""

    generation: int
    collections: int
    collected: int
    pauses_s: float
    worst_s: float


class Pulse:
    def __init__(self) -> None:
        """Opens nothing."""
        self._lags_s: deque[float] = deque(maxlen=KEPT)
        self._task: asyncio.Task[NoReturn] | None = None
        self._collections = [Collections(generation, 0, 0, 0.0, 0.0) for generation in range(3)]
        self._collecting_s = 0.0
        self.started_s = time.time()  # epoch

    async def start(self) -> None:
        gc.callbacks.append(self._collected)
        self._task = asyncio.create_task(self._run(), name="pulse")

    async def stop(self) -> None:
        with contextlib.suppress(ValueError):
            gc.callbacks.remove(self._collected)
        await ended(self._task)

    @property
    def loop_lag(self) -> LoopLag | None:
        return summed(list(self._lags_s))

    @property
    def collections(self) -> list[Collections]:
        return list(self._collections)

    async def _run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._lags_s.append(max(0.0, loop.time() - due_s))

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting_s = time.perf_counter()
            return
        took_s = time.perf_counter() - self._collecting_s
        was = self._collections[info["generation"]]
        self._collections[was.generation] = Collections(
            was.generation,
            was.collections + 1,
            was.collected + info["collected"],
            was.pauses_s + took_s,
            max(was.worst_s, took_s),
        )


def rss_bytes() -> int | None:
    """None where the system does not tell it in /proc."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
