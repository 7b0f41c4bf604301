"""Records of several partitions in step by record time."""

import random
from collections import defaultdict
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from pipelines.rebuild.in_step import InStep, Step
from pipelines.records import Message, Record


def at(*times_ms: int) -> list[Record]:
    return [Message(offset, time_ms, b"k", b"v") for offset, time_ms in enumerate(times_ms)]


def times(step: Step) -> dict[int, list[int]]:
    return {partition: [one.timestamp for one in records] for partition, records in step.records.items() if records}


def test_each_step_goes_as_far_as_all_partitions_are_known() -> None:
    #   partition 0   1  2  3        9
    #   partition 1         4  5           10
    held = InStep([0, 1])
    held.put(0, at(1, 2, 3))
    assert held.wanted == [1]
    held.put(1, at(4, 5))
    assert held.wanted == []
    step = held.take()
    assert (step.until_ms, times(step)) == (3, {0: [1, 2, 3]})
    held.put(0, at(9))
    held.end(0)
    step = held.take()
    assert (step.until_ms, times(step)) == (5, {1: [4, 5]})
    held.put(1, at(10))
    held.end(1)
    assert (times(held.take()), held.is_over) == ({0: [9], 1: [10]}, True)


def test_a_partition_that_has_ended_holds_nobody_back() -> None:
    held = InStep([0, 1])
    held.end(1)
    held.put(0, at(7))
    assert held.wanted == []
    assert times(held.take()) == {0: [7]}


@given(
    st.lists(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=5), max_size=5), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_every_record_comes_once_in_its_partitions_order_and_time_never_goes_back(
    fetched: list[list[list[int]]], rng: random.Random
) -> None:
    """Timestamps in any order, chunks of any size."""
    held = InStep(range(len(fetched)))
    left = {partition: list(chunks) for partition, chunks in enumerate(fetched)}
    came: dict[int, list[int]] = defaultdict(list)
    until_ms = 0
    while not held.is_over:
        for partition in held.wanted:
            if left[partition]:
                held.put(partition, at(*left[partition].pop(0)))
            if not left[partition] and rng.random() < 0.5:
                held.end(partition)
        if held.wanted or held.is_over:
            continue
        step = held.take()
        assert step.until_ms >= until_ms
        until_ms = step.until_ms
        for partition, of in times(step).items():
            assert max(of) <= until_ms
            came[partition] += of
    assert came == {partition: list(chain(*chunks)) for partition, chunks in enumerate(fetched) if chunks}
