"""When what an app has to say is published: soon when it is quiet, seldom enough under load, and before each commit."""

import asyncio
import time
from collections.abc import Collection, Iterable
from typing import Protocol

from pipelines.outlet import Outgoing, Outlet
from pipelines.pace import Busy, gap_s

QUIET_S = 0.1  # nobody sees a difference between this and less
LONGEST_S = 5.0  # a dashboard whose values are older says nothing about now
PARCEL_BYTES = 4_000_000  # a full one is acknowledged before more is collected: it is in memory three times until then


class Source(Protocol):
    @property
    def dirty(self) -> Collection[int]:
        """The partitions that have something to say."""
        ...

    def collect(self, partition: int) -> Iterable[Outgoing]:
        """All of it, as the state is when this is called; then the partition has nothing to say any more."""
        ...


class Publisher:
    """Of one source: one publication at a time, of all partitions; folding goes on meanwhile."""

    def __init__(self, outlet: Outlet, source: Source, share: float) -> None:
        """`share`: of the time of a busy core that telling may take."""
        self._source = source
        self._share = share
        self._outlet = outlet
        self._something = asyncio.Event()
        self._under_way: asyncio.Task[None] | None = None
        self._telling: set[int] = set()  # the partitions in the publication under way
        self._cost_s = 0.0  # what telling took from the loop since the last tick

    def wake(self) -> None:
        """The source has something to say."""
        self._something.set()

    def paced(self, cost_s: float) -> None:
        """So much of what the source is telling just now it makes up for itself: the next tick does not wait for it."""
        self._cost_s -= cost_s

    async def run(self) -> None:
        """The tick. The first thing after a quiet time is told at once."""
        busy = Busy()
        while True:
            await self._something.wait()
            self._something.clear()
            while self._under_way is not None:  # before a commit, of one partition
                await asyncio.shield(self._under_way)
            await self._publish()
            cost_s, self._cost_s = self._cost_s, 0.0
            await asyncio.sleep(gap_s(cost_s, self._share, busy.share(), QUIET_S, LONGEST_S))

    async def told(self, partition: int) -> None:
        """Returns when Kafka has acknowledged all that the partition has to say now; raises what publishing raises."""
        while partition in self._telling or partition in self._source.dirty:
            await self._publish(partition)

    async def _publish(self, *only: int) -> None:
        """One publication, of these partitions or of all; where one is under way, its end."""
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._publication(only or self._source.dirty))
        await asyncio.shield(self._under_way)

    async def _publication(self, partitions: Iterable[int]) -> None:
        try:
            parcel = await self._outlet.parcel()
            for partition in list(partitions):
                if partition not in self._source.dirty:  # lost while a parcel was on its way
                    continue
                began = time.perf_counter()
                self._telling.add(partition)
                for record in self._source.collect(partition):
                    parcel.put(record)
                self._cost_s += time.perf_counter() - began
                if parcel.bytes >= PARCEL_BYTES:
                    await parcel.delivered()
                    parcel = await self._outlet.parcel()
                await asyncio.sleep(0)
            await parcel.delivered()
        finally:
            self._telling.clear()
            self._under_way = None
