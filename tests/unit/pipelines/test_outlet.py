"""Where a record goes: to the partition that every other producer would choose. A broker takes them in
tests/integration/test_aggregate.py."""

from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner

from pipelines.outlet import Outgoing, Outlet


class Producer:
    """What is used of aiokafka's."""

    def __init__(self) -> None:
        self.sent: dict[tuple[str, int], list[list[bytes]]] = {}

    async def start(self) -> None:
        pass

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range({"partials": 8, "activity.late": 3}[topic]))

    def create_batch(self) -> "_Batch":
        return _Batch()

    async def send_batch(self, batch: "_Batch", topic: str, *, partition: int) -> Any:
        self.sent.setdefault((topic, partition), []).append(batch.values)

        async def acknowledged() -> None:
            pass

        return acknowledged()


class _Batch:
    """Holds two records."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, timestamp: int, key: bytes | None, value: bytes, headers: object) -> object:  # noqa: ARG002 -- as aiokafka's
        if len(self.values) == 2:
            return None
        self.values.append(value)
        return object()

    def close(self) -> None:
        pass


@pytest.fixture
def producer() -> Producer:
    return Producer()


async def test_a_key_goes_where_any_other_producer_sends_it(producer: Producer) -> None:
    outlet = Outlet(lambda: producer, ("partials", "activity.late"))
    names = [f"student:s{number}" for number in range(200)]
    for topic, partitions in (("partials", 8), ("activity.late", 3)):
        for _ in range(2):  # the second time from memory
            parcel = await outlet.parcel()
            for name in names:
                parcel.put(Outgoing(topic, name.encode(), name.encode()))
            producer.sent.clear()
            await parcel.delivered()
            where = {v.decode(): p for (_, p), batches in producer.sent.items() for batch in batches for v in batch}
            everywhere = list(range(partitions))
            assert where == {name: DefaultPartitioner()(name.encode(), everywhere, everywhere) for name in names}


async def test_of_a_partition_the_order_is_kept_however_many_batches_it_takes(producer: Producer) -> None:
    outlet = Outlet(lambda: producer, ("partials",))
    parcel = await outlet.parcel()
    for number in range(5):
        parcel.put(Outgoing("partials", b"course:c1", b"%d" % number))
    await parcel.delivered()
    (batches,) = producer.sent.values()
    assert batches == [[b"0", b"1"], [b"2", b"3"], [b"4"]]


async def test_without_a_key_it_goes_somewhere(producer: Producer) -> None:
    outlet = Outlet(lambda: producer, ("partials",))
    parcel = await outlet.parcel()
    parcel.put(Outgoing("partials", None, b"x"))
    await parcel.delivered()
    assert list(producer.sent.values()) == [[[b"x"]]]
