"""When something has been told. The broker is a stand-in that acknowledges when the test says so."""

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from running import eventually

from pipelines.outlet import Outgoing
from pipelines.publisher import Publisher


class Broker:
    """Stands where the outlet does."""

    def __init__(self) -> None:
        self.parcels: list[list[Outgoing]] = []
        self.acknowledges = asyncio.Event()
        self.error: Exception | None = None

    async def parcel(self) -> "_Parcel":
        self.parcels.append([])
        return _Parcel(self)


class _Parcel:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.bytes = 0

    def put(self, record: Outgoing) -> None:
        self._broker.parcels[-1].append(record)
        self.bytes += len(record.value or b"")

    async def delivered(self) -> None:
        await self._broker.acknowledges.wait()
        if self._broker.error:
            raise self._broker.error


class Counter:
    """A source that says how far its partitions have come."""

    def __init__(self) -> None:
        self.at = {0: 0, 1: 0}
        self.dirty: set[int] = set()

    def count(self, partition: int) -> None:
        self.at[partition] += 1
        self.dirty.add(partition)

    def collect(self, partition: int) -> Iterable[Outgoing]:
        self.dirty.discard(partition)
        yield Outgoing("counts", b"%d" % partition, b"%d" % self.at[partition])


def made() -> tuple[Publisher, Counter, Broker]:
    broker, counter = Broker(), Counter()
    outlet: Any = broker
    return Publisher(outlet, counter, 0.1), counter, broker


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_told_is_what_has_been_acknowledged_and_all_of_it() -> None:
    publisher, counter, broker = made()
    counter.count(0)
    told = asyncio.create_task(publisher.told(0))
    await turns()
    counter.count(0)  # folded while the first publication is under way
    assert not told.done()
    assert broker.parcels == [[Outgoing("counts", b"0", b"1")]]
    broker.acknowledges.set()
    await told
    assert broker.parcels == [[Outgoing("counts", b"0", b"1")], [Outgoing("counts", b"0", b"2")]]


async def test_who_commits_waits_for_no_other_partition() -> None:
    publisher, counter, broker = made()
    counter.count(0)
    counter.count(1)
    broker.acknowledges.set()
    await asyncio.gather(publisher.told(0), publisher.told(1))
    assert [[record.key for record in parcel] for parcel in broker.parcels] == [[b"0"], [b"1"]]


async def test_a_full_parcel_is_on_its_way_before_more_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.publisher.PARCEL_BYTES", 2)
    publisher, counter, broker = made()
    counter.at = {0: 0, 1: 98, 2: 0, 3: 0}
    for partition in counter.at:
        counter.count(partition)
    publisher.wake()
    tick = asyncio.create_task(publisher.run())
    await turns()
    values = [[record.value for record in parcel] for parcel in broker.parcels]
    assert (values, counter.dirty) == ([[b"1", b"99"]], {2, 3})
    counter.count(0)  # folded meanwhile: for the next publication
    counter.dirty.discard(2)  # and this one lost
    broker.acknowledges.set()
    await turns()
    values = [[record.value for record in parcel] for parcel in broker.parcels if parcel]
    assert (values, counter.dirty) == ([[b"1", b"99"], [b"1"]], {0})
    tick.cancel()


async def test_who_has_nothing_to_say_waits_for_nobody() -> None:
    publisher, counter, _ = made()
    counter.count(0)
    told = asyncio.create_task(publisher.told(0))
    await turns()
    await publisher.told(1)
    assert not told.done()
    told.cancel()


async def test_what_is_not_acknowledged_is_told_to_who_waits_for_it() -> None:
    publisher, counter, broker = made()
    counter.count(0)
    broker.error = OSError("the broker is gone")
    broker.acknowledges.set()
    with pytest.raises(OSError, match="gone"):
        await publisher.told(0)


async def test_after_a_quiet_time_the_tick_tells_at_once_and_then_what_has_come_together() -> None:
    publisher, counter, broker = made()
    broker.acknowledges.set()
    tick = asyncio.create_task(publisher.run())
    await turns()
    assert broker.parcels == []
    counter.count(0)
    publisher.wake()
    await turns()
    assert len(broker.parcels) == 1
    for _ in range(5):
        counter.count(0)
        publisher.wake()
        await turns()
    assert len(broker.parcels) == 1  # within the gap

    async def again() -> bool:
        return len(broker.parcels) == 2

    await eventually(again, 10, "it tells the rest")
    assert broker.parcels[1] == [Outgoing("counts", b"0", b"6")]
    tick.cancel()


@pytest.mark.parametrize(("paced_s", "waited_for"), [(0.0, 3.0), (2.0, 1.0)])
async def test_what_a_source_paces_itself_keeps_no_tick_waiting(
    paced_s: float, waited_for: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, costs = itertools.count(0.0, 3.0), []

    def gap_s(cost_s: float, *_: float) -> float:
        costs.append(cost_s)
        return 0.0

    monkeypatch.setattr("pipelines.publisher.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("pipelines.publisher.gap_s", gap_s)
    publisher, counter, broker = made()
    collect = counter.collect

    def dear(partition: int) -> Iterable[Outgoing]:
        publisher.paced(paced_s)
        return collect(partition)

    monkeypatch.setattr(counter, "collect", dear)
    broker.acknowledges.set()
    counter.count(0)
    publisher.wake()
    tick = asyncio.create_task(publisher.run())
    await turns()
    tick.cancel()
    assert costs == [waited_for]
