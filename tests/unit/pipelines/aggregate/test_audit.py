"""The books: what they say of claims and verdicts that add up, and of some that do not."""

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
from classroom import NOON_MS, event, new_fold, records
from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate.audit import AWAY_MS, MINUTE_MS, ROWS, WRONG_MAX, Books
from pipelines.aggregate.judging import RUNS_MAX, Judging
from wire.audit import Balance, Claimed, Judged, Runs, Stage, Totals, Wrong, add, decode, decode_balance, encode

VERDICTS = ("folded", "duplicate", "late", "dead")


def told_of(verdicts: list[str], cuts: list[int], base: int, second_ms: int = 1000) -> Iterator[Judged]:
    """What fold says of these offsets, a record for each stretch between cuts; a second passes with each offset."""
    for first, end in pairwise(sorted({0, *cuts, len(verdicts)})):
        runs: dict[str, Runs] = {verdict: [] for verdict in VERDICTS}
        for offset in range(first, end):
            add(runs[verdicts[offset]], base + offset)
        yield Judged(
            partition=3,
            first=base + first,
            last=base + end - 1,
            at_ms=NOON_MS + end * second_ms,
            base=base,
            totals=Totals(*(verdicts[:end].count(verdict) for verdict in VERDICTS)),
            duplicate=runs["duplicate"],
            late=runs["late"],
            dead=runs["dead"],
        )


def claim(*runs: tuple[int, int], door: str = "a", at_ms: int = NOON_MS) -> Claimed:
    return Claimed(door=door, partition=3, at_ms=at_ms, runs=list(runs))


def judged(first: int, last: int, folded: int, *, at_ms: int = NOON_MS, base: int = 0, adrift: int = 0) -> Judged:
    return Judged(
        partition=3, first=first, last=last, at_ms=at_ms, base=base, totals=Totals(folded), adrift=adrift
    )  # fmt: skip


def lines(books: Books) -> list[Balance]:
    return list(books.balances())


def again(books: Books) -> Books:
    """As a restart finds them."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(books), type=Books)


#   offset     0 1 2 3 4 5 6 7
#   door a     ^ ^ ^     ^
#   door b           ^       ^
#   fold       f f d f l f f x
def test_a_minute_is_told_with_who_accepted_and_what_became_of_it() -> None:
    books = Books(3)
    books.claimed(claim((0, 2), (5, 5)))
    verdicts = ["folded", "folded", "duplicate", "folded", "late", "folded", "folded", "dead"]
    for said in told_of(verdicts, [4], 0):
        books.judged(said)
    books.claimed(claim((3, 3), (6, 6), door="b"))
    (balance,) = lines(books)
    assert (balance.first, balance.last, balance.minute_ms) == (0, 7, NOON_MS)
    assert (balance.accepted, balance.unclaimed) == (6, 2)
    assert balance.totals == Totals(5, 1, 1, 1)
    assert (balance.difference, balance.wrong, balance.key) == (0, [], f"3:{NOON_MS}")
    assert decode_balance(encode(balance)) == balance


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[str], list[Judged | Claimed], set[int], int]:
    """Verdicts; what is said of them, in any order that may happen, some of it twice; what was claimed; the base."""
    verdicts = draw(st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=300))
    base = draw(st.integers(0, 5))
    cuts = st.lists(st.integers(1, len(verdicts)), max_size=6)
    said = list(told_of(verdicts, draw(cuts), base, 100))
    # Killed, and told again from any of them on, with other ranges.
    at = draw(st.integers(0, len(said) - 1))
    replay = [one for one in told_of(verdicts, draw(cuts), base, 100) if one.last >= said[at].first]
    told: list[Judged | Claimed] = [*said[: at + 1], *replay]
    doors = draw(st.lists(st.sampled_from("ab-"), min_size=len(verdicts), max_size=len(verdicts)))
    claims: list[Claimed] = []
    for door in "ab":
        runs: Runs = []
        for offset in (base + number for number, of in enumerate(doors) if of == door):
            add(runs, offset)
        step = draw(st.integers(1, 5))
        claims += [claim(*runs[i : i + step], door=door) for i in range(0, len(runs), step)]
    for one in draw(st.permutations(claims)):
        for _ in range(draw(st.integers(1, 2))):  # a door whose word was not acknowledged says it again
            told.insert(draw(st.integers(0, len(told))), one)
    return verdicts, told, {base + number for number, of in enumerate(doors) if of != "-"}, base


@given(histories(), st.integers(0, 20))
def test_whatever_comes_when_every_offset_is_in_one_line_and_the_sums_are_the_truth(
    history: tuple[list[str], list[Judged | Claimed], set[int], int], restart_at: int
) -> None:
    verdicts, told, claimed, base = history
    books = Books(3)
    for number, said in enumerate(told):
        assert decode(encode(said)) == said
        if isinstance(said, Judged):
            books.judged(said)
        else:
            books.claimed(said)
        if number == restart_at:
            books = again(books)
    found = lines(books)
    assert [balance.first for balance in found] == [base, *(balance.last + 1 for balance in found[:-1])]
    assert found[-1].last == base + len(verdicts) - 1
    for balance in found:
        offsets = range(balance.first, balance.last + 1)
        of = [verdicts[offset - base] for offset in offsets]
        assert balance.totals == Totals(*(of.count(verdict) for verdict in VERDICTS))
        assert balance.accepted == len(claimed.intersection(offsets))
        assert (balance.difference, balance.wrong) == (0, [])


#   offset   0 … 9   10 … 14 (never read)   15 … 19
def test_offsets_that_nobody_judged_are_named() -> None:
    books = Books(3)
    books.judged(judged(0, 9, 10))
    books.judged(judged(15, 19, 15))
    books.judged(judged(20, 29, 25))
    (balance,) = lines(books)
    assert balance.wrong == [Wrong(stage=Stage.FOLD, first=10, last=19, number=5)]
    assert (balance.difference, books.differences()) == (5, {Stage.DOOR: 0, Stage.FOLD: 5, Stage.WINDOWS: 0})


def test_what_was_counted_twice_is_named() -> None:
    books = Books(3)
    books.judged(judged(0, 9, 10))
    books.judged(judged(10, 19, 23))
    assert lines(books)[0].wrong == [Wrong(stage=Stage.FOLD, first=10, last=19, number=-3)]


def test_events_that_are_not_in_the_windows_are_named_until_they_are() -> None:
    books = Books(3)
    books.judged(judged(0, 9, 10, adrift=2))
    books.judged(judged(10, 19, 20, adrift=3))
    books.judged(judged(20, 29, 30, at_ms=NOON_MS + MINUTE_MS))
    first, second = lines(books)
    assert first.wrong == [Wrong(stage=Stage.WINDOWS, first=0, last=19, number=3)]
    assert (second.first, second.wrong) == (20, [])


def test_an_offset_that_two_doors_claim_is_named() -> None:
    books = Books(3)
    books.judged(judged(0, 9, 10))
    books.claimed(claim((0, 5)))
    books.claimed(claim((4, 9), door="b"))
    assert lines(books)[0].wrong == [Wrong(stage=Stage.DOOR, first=4, last=9, number=-2)]


#   offset   0 … 9 there   10 … 12 claimed and gone
def test_what_was_acknowledged_and_is_not_there_is_lost_after_a_while() -> None:
    books = Books(3)
    books.claimed(claim((0, 12)))
    books.judged(judged(0, 9, 10))
    assert not books.look(10, NOON_MS)
    assert not books.look(10, NOON_MS + AWAY_MS - 1)
    assert again(books).look(10, NOON_MS + AWAY_MS)
    assert books.look(10, NOON_MS + AWAY_MS)
    assert Wrong(stage=Stage.DOOR, first=10, last=12, number=3) in [
        wrong for balance in lines(books) for wrong in balance.wrong
    ]
    assert not books.look(10, NOON_MS + 2 * AWAY_MS)  # said once


def test_what_is_only_not_known_yet_is_not_lost() -> None:
    books = Books(3)
    books.claimed(claim((0, 12)))
    assert not books.look(10, NOON_MS)
    assert not books.look(13, NOON_MS + AWAY_MS)
    assert not books.look(10, NOON_MS + 2 * AWAY_MS)
    assert lines(books) == []


def test_an_audit_younger_than_the_counters_begins_where_it_hears_of_them() -> None:
    books = Books(3)
    books.judged(Judged(partition=3, first=100, last=109, at_ms=NOON_MS, base=7, totals=Totals(80, 13, 5, 5)))
    books.judged(Judged(partition=3, first=110, last=119, at_ms=NOON_MS, base=7, totals=Totals(90, 13, 5, 5)))
    (balance,) = lines(books)
    assert (balance.first, balance.last, balance.totals, balance.difference) == (100, 119, Totals(20), 0)


@pytest.mark.parametrize("first", [0, 7], ids=["same beginning", "the oldest were deleted meanwhile"])
def test_counters_that_begin_anew_are_no_difference(first: int) -> None:
    """The tables were deleted, and all that is left is read again."""
    books = Books(3)
    books.judged(judged(0, 99, 100))
    books.judged(judged(first, 49, 50 - first, at_ms=NOON_MS + MINUTE_MS, base=first))
    books.judged(judged(50, 149, 150 - first, at_ms=NOON_MS + MINUTE_MS, base=first))
    assert lines(books)[-1].last == 149
    assert [(balance.difference, balance.wrong) for balance in lines(books)] == [(0, [])] * len(lines(books))
    assert sum(balance.totals.all for balance in lines(books)) == 150 - first


def test_its_memory_is_bounded() -> None:
    books = Books(3)
    for minute in range(3 * ROWS):
        books.claimed(claim((10 * minute, 10 * minute), (10 * minute + 2, 10 * minute + 3)))
        books.judged(judged(10 * minute, 10 * minute + 9, 10 * minute + 10, at_ms=NOON_MS + minute * MINUTE_MS))
    assert (len(lines(books)), len(books.claims["a"])) == (ROWS, 6)
    assert {balance.accepted for balance in lines(books)} == {3}
    books.claimed(claim((10 * 2 * ROWS + 5, 10 * 2 * ROWS + 6), (10 * 3 * ROWS, 10 * 3 * ROWS), door="b"))  # late
    assert sum(balance.accepted for balance in lines(books)) == 3 * ROWS + 2

    books = Books(3)
    for number in range(2 * WRONG_MAX):
        books.judged(judged(2 * number, 2 * number, number + 1))
    (balance,) = lines(books)
    assert (len(balance.wrong), balance.difference) == (WRONG_MAX, 2 * WRONG_MAX - 1)


def test_judging_tells_each_offset_once_and_is_bounded() -> None:
    """Every second event is a duplicate, which makes as many runs as there can be."""
    fold = new_fold()
    judging = Judging(fold.marker)
    batch = [one for number in range(200) for one in [event("s1", NOON_MS + number)] * 2]
    for first in range(100, 100 + 3 * 2 * RUNS_MAX, len(batch)):
        if first == 100 + 2 * len(batch):
            batch = [one for one in batch[::2] for _ in range(2)]
        read = records(batch, first_offset=first)
        judging.begins(first)
        judging.took(fold.fold(read), read[-1].timestamp)
    said = judging.told(0)
    assert said[0].base == 100
    assert [one.first for one in said] == [100, *(one.last + 1 for one in said[:-1])]
    assert all(len(one.duplicate) < RUNS_MAX + len(batch) for one in said)
    assert said[-1].totals.all == said[-1].last + 1 - 100
    assert judging.told(0) == []
