"""Offsets as runs: nothing is added, nothing left out, and what touches is one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wire import audit
from wire.audit import Balance, Claimed, Judged, Run, Runs, Stage, Totals, Wrong


def offsets_of(runs: Runs) -> list[int]:
    return [offset for first, last in runs for offset in range(first, last + 1)]


def are_runs(runs: Runs) -> bool:
    """Ascending, and apart from each other."""
    return all(first <= last for first, last in runs) and all(
        last + 1 < first for (_, last), (first, _) in pairwise(runs)
    )


@given(st.sets(st.integers(0, 60)))
def test_offsets_in_order_become_runs(offsets: set[int]) -> None:
    runs: Runs = []
    for offset in sorted(offsets):
        audit.add(runs, offset)
    assert are_runs(runs)
    assert offsets_of(runs) == sorted(offsets)
    assert audit.number(runs) == len(offsets)


@given(st.sets(st.integers(0, 60)), st.randoms())
def test_runs_in_any_order_are_joined(offsets: set[int], order: object) -> None:
    runs: list[Run] = []
    for offset in sorted(offsets):
        if runs and runs[-1][1] == offset - 1 and order.random() < 0.5:  # type: ignore[attr-defined]
            runs[-1] = (runs[-1][0], offset)
        else:
            runs.append((offset, offset))
    order.shuffle(runs)  # type: ignore[attr-defined]
    assert are_runs(joined := audit.joined(runs))
    assert offsets_of(joined) == sorted(offsets)


def test_what_is_said_is_read_as_it_was() -> None:
    claimed = Claimed(door="d", partition=3, at_ms=1, runs=[(4, 9), (11, 11)])
    judged = Judged(partition=3, first=4, last=9, at_ms=1, base=0, totals=Totals(9, 0, 0, 1), dead=[(5, 5)])
    balance = Balance(
        partition=3, minute_ms=60_000, first=4, last=9, accepted=5, totals=Totals(4, 0, 0, 1), difference=1,
        wrong=[Wrong(stage=Stage.FOLD, first=9, last=9, number=1)],
    )  # fmt: skip
    assert [audit.decode(audit.encode(said)) for said in (claimed, judged)] == [claimed, judged]
    assert audit.decode_balance(audit.encode(balance)) == balance
    assert (balance.key, balance.unclaimed, balance.totals.all) == ("3:60000", 1, 5)
