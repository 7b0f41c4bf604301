"""Windows that rest in blocks: nothing of them is lost, and nobody can tell that they rest."""

import random
import sys
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate.blocks import BLOCK, Blocks
from pipelines.aggregate.ledger import Ledger, Panes
from wire.partials import PaneCounts

FIRST = 170_000_000
SPAN = 4 * BLOCK

encode = msgspec.msgpack.encode
decode_pane = msgspec.msgpack.Decoder(dict[int, tuple[int, PaneCounts]]).decode
decode: Callable[[bytes], list[tuple[int, str]]] = msgspec.msgpack.Decoder(list[tuple[int, str]]).decode


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "around", "take", "keep"]),
            st.lists(st.integers(FIRST, FIRST + SPAN), min_size=1, max_size=8, unique=True),
        ),
        max_size=40,
    )
)
def test_blocks_hold_what_was_added_until_it_is_taken_or_not_wanted(steps: list[tuple[str, list[int]]]) -> None:
    blocks, held = Blocks(decode), dict[int, str]()
    for at, (step, numbers) in enumerate(steps):
        number, block = numbers[0], numbers[0] // BLOCK
        in_block = {other: of for other, of in held.items() if other // BLOCK == block}
        if step == "add":
            new = {other: f"{at}:{other}" for other in numbers if other not in held}
            blocks.add([(other, msgspec.Raw(encode(of))) for other, of in new.items()])
            held.update(new)
        elif step == "around":
            around = blocks.around(number)
            assert around == [] or dict(around) == in_block
            assert number not in held or dict(around) == in_block
        elif step == "take":
            taken = dict(blocks.take(number))
            assert number not in held or taken == in_block
            for other in taken:
                assert taken[other] == held.pop(other)
        elif step == "keep":
            blocks.keep(range(block, sys.maxsize))
            held = {other: of for other, of in held.items() if other // BLOCK >= block}
        assert bool(blocks) == bool(held)
    for number in list(held):
        assert dict(blocks.around(number))[number] == held[number]


def test_a_new_window_does_not_wake_the_block_it_will_be_in() -> None:
    first = FIRST // BLOCK * BLOCK
    blocks = Blocks(decode)
    blocks.add([(first, "a"), (first + 2, "c")])
    assert blocks.take(first + 3) == []
    assert blocks.take(first + 1) == [(first, "a"), (first + 2, "c")]


def test_an_hour_of_a_scope_rests_in_a_small_part_of_the_memory() -> None:
    rng = random.Random(1)
    blocks = Blocks(msgspec.msgpack.Decoder(list[tuple[int, PaneCounts]]).decode)
    panes = {FIRST + pane: PaneCounts(rng.randrange(40), 3, 1, {30: rng.randrange(9)}) for pane in range(360)}
    for window in panes.items():
        blocks.add([window])
    assert all(dict(blocks.around(pane))[pane] == of for pane, of in panes.items())
    assert sum(map(len, blocks._closed.values())) < 10 * len(panes)  # a PaneCounts takes 300 and more


@pytest.mark.parametrize("seed", range(30))
def test_a_ledger_of_panes_says_what_one_says_that_lays_nothing_to_rest(seed: int) -> None:
    rng = random.Random(seed)
    panes, plain = Panes(), Ledger(PaneCounts)
    wall_ms, dropped, woken = 0, FIRST, 0
    for offset in range(300):
        wall_ms += rng.randrange(2_000)
        head = FIRST + offset // 3
        number = head if rng.random() < 0.7 else rng.randrange(dropped, head + 1)
        woken += number in panes.touched_ms and number not in panes.said
        counts = PaneCounts(rng.randrange(50), 0, 0, {rng.randrange(30): 1})
        said = number, rng.randrange(3), rng.randrange(offset // 2, offset + 1), counts, wall_ms
        panes.take(*said)
        plain.take(*said)
        if rng.random() < 0.5:
            assert panes.add_up() == plain.add_up()
        if rng.random() < 0.3:
            assert {other: decode_pane(panes.written(other)) for other in panes.unwritten} == {
                other: plain.written(other) for other in plain.unwritten
            }
            panes.unwritten.clear()
            plain.unwritten.clear()
        if rng.random() < 0.1:
            panes.add_up()
            plain.add_up()
            asked = range(dropped - 2, head + 2)
            assert [panes.get(other) for other in asked] == [plain.sums.get(other) for other in asked]
        if rng.random() < 0.1:
            panes.rest(wall_ms - 5_000, head - 20)
            assert min(panes.sums, default=head) >= head - 20
        if rng.random() < 0.05:
            first, dropped = dropped, rng.randrange(dropped, head + 1)
            for other in set(range(first, dropped)) & plain.touched_ms.keys():
                panes.drop(other)
                plain.drop(other)
        assert panes.touched_ms == plain.touched_ms
    assert woken  # else all this was about nothing
    plain.add_up()
    again = Panes()
    again.restore_written({other: encode(plain.written(other)) for other in plain.touched_ms}, wall_ms)
    assert {other: again.get(other) for other in plain.touched_ms} == plain.sums
    assert again.touched_ms == dict.fromkeys(plain.touched_ms, wall_ms)


def test_one_late_pane_wakes_no_other_of_its_block() -> None:
    panes = Panes()
    panes.restore_written({FIRST + pane: encode({0: (1, PaneCounts(pane))}) for pane in range(2 * BLOCK)}, 0)
    panes.take(FIRST + 3, 1, 2, PaneCounts(50), 1)
    panes.take(FIRST + 4, 1, 2, PaneCounts(50), 1)
    assert panes.said.keys() == {FIRST + 3, FIRST + 4}
    panes.add_up()
    assert [panes.get(FIRST + pane) for pane in range(6)] == [PaneCounts(n) for n in (0, 1, 2, 53, 54, 5)]
    panes.unwritten.clear()
    panes.rest(2, FIRST)
    assert panes.said == {}
    assert [panes.get(FIRST + pane) for pane in range(2 * BLOCK)] == [
        PaneCounts(n + 50 * (n in (3, 4))) for n in range(2 * BLOCK)
    ]


def test_one_pane_that_stays_keeps_no_others_from_going() -> None:
    panes = Panes()
    panes.restore_written({FIRST + pane: encode({0: (1, PaneCounts(pane))}) for pane in range(10 * BLOCK)}, 0)
    for pane in range(10 * BLOCK):
        if pane != 7:
            panes.drop(FIRST + pane)
    panes.rest(1, FIRST)
    assert len(panes._resting._closed) == 1
    assert not panes._resting._open
    assert panes.get(FIRST + 7) == PaneCounts(7)
    panes.drop(FIRST + 7)
    panes.rest(1, FIRST)
    assert not panes._resting
