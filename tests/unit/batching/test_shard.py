"""What a shard gives, when, and up to where it is acknowledged."""

import asyncio

import pytest
from faust.types import TP
from recorded import Line

from batching.delivery import Delivery
from batching.limits import Limits
from batching.records import Batch, Chunk, Record
from batching.shard import Shard

A = TP("a", 0)


def chunk(first: int, last: int, next_offset: int | None = None, tp: TP = A) -> Chunk:
    records: list[Record] = [Line(offset) for offset in range(first, last + 1)]
    return Chunk(tp, records, last + 1 if next_offset is None else next_offset, 100)


def opened(at: int = 0, topics: tuple[str, ...] = ("a",), number: int = 0, **limits: int) -> Shard:
    shard = Shard(number, topics, Limits(**limits))  # type: ignore[arg-type]
    shard.begin(dict.fromkeys(topics, at), {})
    return shard


def offsets(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [record.offset for record in batch.records]


def test_a_large_chunk_comes_in_parts_and_each_is_acknowledged_by_itself() -> None:
    shard = opened(batch_records=4)
    shard.put(chunk(0, 9, next_offset=12))
    for expected, position in (([0, 1, 2, 3], 4), ([4, 5, 6, 7], 8), ([8, 9], 12)):
        assert offsets(shard.take("a")) == expected
        assert shard.take("a") is None  # one at a time
        shard.finish("a")
        assert shard.position == {"a": position}
    assert shard.take("a") is None


def test_what_was_given_already_is_left_out() -> None:
    shard = opened(at=5)
    shard.put(chunk(3, 6))
    shard.put(chunk(4, 6))
    assert offsets(shard.take("a")) == [5, 6]
    shard.put(chunk(6, 8))
    shard.finish("a")
    assert offsets(shard.take("a")) == [7, 8]


def test_small_chunks_that_gathered_are_one_batch() -> None:
    shard = opened(batch_records=5)
    for first in range(0, 8, 2):
        shard.put(chunk(first, first + 1, next_offset=first + 2))
    shard.put(chunk(0, -1, next_offset=11))
    assert offsets(shard.take("a")) == [0, 1, 2, 3]
    shard.finish("a")
    assert shard.position == {"a": 4}
    assert offsets(shard.take("a")) == [4, 5, 6, 7]
    shard.finish("a")
    assert shard.position == {"a": 11}
    assert shard.waiting("a") == 0


def test_what_gathered_is_put_together_up_to_a_bound_of_bytes() -> None:
    shard = opened(batch_bytes=250)
    for first in range(4):
        shard.put(chunk(first, first))
    assert offsets(shard.take("a")) == [0, 1]
    shard.finish("a")
    assert offsets(shard.take("a")) == [2, 3]


def test_control_records_move_the_position_only_behind_what_is_before_them() -> None:
    shard = opened()
    shard.put(chunk(0, -1, next_offset=2))
    assert shard.position == {"a": 2}
    shard.put(chunk(2, 3))
    shard.put(chunk(0, -1, next_offset=5))  # behind a queued batch
    assert shard.position == {"a": 2}
    shard.take("a")
    shard.put(chunk(0, -1, next_offset=6))  # behind a running one
    assert shard.position == {"a": 2}
    shard.finish("a")
    assert shard.position == {"a": 6}


def test_closing_forgets_what_was_not_taken_and_lets_the_rest_finish() -> None:
    shard = opened(batch_records=2)
    shard.put(chunk(0, 5))
    shard.take("a")
    delivery = Delivery(Limits())
    delivery.shards[0] = shard
    assert delivery.wanted() == {A}
    shard.close()
    assert shard.take("a") is None
    assert delivery.wanted() == set()
    shard.finish("a")
    assert shard.position == {"a": 2}
    shard.begin({"a": 2}, {})
    assert shard.take("a") is None


async def test_frozen_is_a_boundary_of_all_topics() -> None:
    """
    a   [ batch ]      x
    b      [ batch ]   x
    frozen   ..........[ here ]
    """
    shard = opened(topics=("a", "b"), batch_records=1)
    for topic in ("a", "b"):
        shard.put(chunk(0, 2, tp=TP(topic, 0)))
        shard.take(topic)
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def freeze() -> None:
        async with shard.frozen():
            entered.set()
            await leave.wait()

    freezing = asyncio.create_task(freeze())
    await asyncio.sleep(0)
    shard.finish("a")
    assert shard.take("a") is None  # it would put the boundary off
    await asyncio.sleep(0)
    assert not entered.is_set()
    shard.finish("b")
    await asyncio.wait_for(entered.wait(), 5)
    assert shard.take("b") is None
    leave.set()
    await freezing
    assert shard.take("b") is not None


async def test_delivery_takes_turns() -> None:
    delivery = Delivery(Limits())
    for number in (0, 1, 2):
        shard = opened(number=number, batch_records=1)
        delivery.shards[number] = shard
        shard.put(chunk(0, 3, tp=TP("a", number)))
    seen = []
    for _ in range(6):
        shard, batch = await delivery.take("a")
        seen.append(shard.number)
        delivery.finish(shard, batch)
    assert sorted(seen[:3]) == sorted(seen[3:]) == [0, 1, 2]


async def test_delivery_waits_and_passes_by_what_is_frozen() -> None:
    delivery = Delivery(Limits())
    delivery.shards = {number: opened(number=number) for number in (0, 1)}
    taking = asyncio.create_task(delivery.take("a"))
    async with delivery.shards[0].frozen():
        delivery.put(chunk(0, 0, tp=TP("a", 0)))
        await asyncio.sleep(0)
        assert not taking.done()
        delivery.put(chunk(0, 0, tp=TP("a", 1)))
        shard, _ = await asyncio.wait_for(taking, 5)
        assert shard.number == 1
    delivery.wake()
    assert (await asyncio.wait_for(delivery.take("a"), 5))[0].number == 0


async def test_delivery_leaves_out_what_is_not_open() -> None:
    delivery = Delivery(Limits())
    delivery.shards = {0: Shard(0, ("a",), Limits())}
    assert delivery.wanted() == set()
    delivery.put(chunk(0, 3))
    delivery.put(chunk(0, 3, tp=TP("a", 7)))
    delivery.shards[0].begin({"a": 0}, {})
    assert delivery.wanted() == {A}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(delivery.take("a"), 0.01)


async def test_what_waits_is_bounded_over_all_partitions_and_each_may_have_a_batch() -> None:
    hot, cold = TP("a", 0), TP("a", 1)
    size = waiting_of(10)
    delivery = Delivery(Limits(buffer_bytes=2 * size, batch_bytes=size, batch_records=10))
    delivery.shards = {number: opened(number=number, batch_records=10) for number in range(2)}
    assert delivery.wanted() == {hot, cold}
    delivery.put(chunk(0, 9, tp=hot))
    assert delivery.wanted() == {hot, cold}  # it alone may have all there is
    delivery.put(chunk(10, 19, tp=hot))
    assert delivery.wanted() == {cold}
    delivery.put(chunk(0, 9, tp=cold))
    assert delivery.wanted() == set()
    await delivery.take("a")
    await delivery.take("a")
    assert delivery.wanted() == {hot, cold}


def waiting_of(records: int) -> int:
    shard = opened()
    shard.put(chunk(0, records - 1))
    return shard.waiting("a")


async def test_paused_nothing_is_fetched_or_given_out_until_it_is_over() -> None:
    delivery, shard = Delivery(Limits()), opened()
    delivery.shards[0] = shard
    waiting = asyncio.create_task(delivery.take("a"))
    delivery.pause(True)
    assert delivery.wanted() == set()
    delivery.put(chunk(0, 1))  # of a fetch that was under way
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    delivery.pause(False)
    _, batch = await waiting
    assert offsets(batch) == [0, 1]
    assert delivery.wanted() == {A}
