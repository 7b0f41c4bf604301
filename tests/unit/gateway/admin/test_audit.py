"""What the audit's balances add up to, and how it is told."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin import audit, audit_views
from gateway.admin.audit import Found, Newest
from gateway.admin.audit_views import audit_view
from wire.audit import Balance, Stage, Totals, Wrong

MINUTE_MS = 60_000
T0_MS = 29_474_520 * MINUTE_MS

verdicts = st.builds(Totals, *[st.integers(0, 9)] * 4)


@st.composite
def told(draw: st.DrawFn) -> list[Balance]:
    """In any order, some of them anew."""
    found = []
    for partition, minute in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)))):
        totals = draw(verdicts)
        first = minute * 1_000
        accepted = draw(st.integers(0, totals.all))
        found.append(a_balance(partition, minute, first, first + totals.all - 1, accepted=accepted, totals=totals))
    return found


def a_balance(partition: int, minute: int, first: int, last: int, **given: Any) -> Balance:
    plain = Balance(
        partition=partition, minute_ms=T0_MS + minute * MINUTE_MS, first=first, last=last, accepted=last - first + 1,
        totals=Totals(folded=last - first + 1),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **given)


def found(balances: list[Balance], ends: dict[int, int], starts: dict[int, int] | None = None) -> Found:
    return Found(T0_MS, balances, starts or dict.fromkeys(ends, 0), ends, [])


@given(told(), st.integers(0, 3))
def test_the_newest_of_each_partition_and_minute_counts(balances: list[Balance], since: int) -> None:
    since_ms = T0_MS + since * MINUTE_MS
    newest = Newest(since_ms)
    for balance in balances:
        newest.add(balance)
    expected = {(one.minute_ms, one.partition): one for one in balances if one.minute_ms >= since_ms}
    assert newest.balances() == [expected[key] for key in sorted(expected)]
    view = audit_view(found(newest.balances(), {0: 9_999, 1: 9_999}))
    totals = view.totals
    assert totals.accepted + totals.unclaimed == totals.folded + totals.duplicate + totals.late + totals.dead
    assert totals.folded == sum(one.totals.folded for one in expected.values())
    assert view.complete


def test_where_there_are_too_many_the_oldest_minutes_are_given_up_whole() -> None:
    newest, partitions = Newest(T0_MS), 100
    for minute in range(audit.HELD_MAX // partitions + 1):
        for partition in range(partitions):
            newest.add(a_balance(partition, minute, minute, minute))
    held = newest.balances()
    assert 0 < len(held) <= audit.HELD_MAX
    assert len(held) % partitions == 0
    assert newest.since_ms == held[0].minute_ms > T0_MS
    assert held[-1].last == audit.HELD_MAX // partitions
    endless = [Wrong(stage=Stage.FOLD, first=number, last=number, number=1) for number in range(audit.HELD_MAX)]
    alone = Newest(T0_MS)
    alone.add(a_balance(0, 0, 0, 0, wrong=endless))
    assert (alone.balances(), alone.since_ms) == ([], T0_MS + 1)


def test_in_flight_is_what_is_in_no_balance_yet() -> None:
    balances = [a_balance(0, 0, 10, 19), a_balance(0, 1, 20, 24)]
    view = audit_view(found(balances, ends={0: 30, 1: 7, 2: 5}, starts={0: 10, 1: 3, 2: 5}))
    assert [(one.partition, one.first, one.last, one.in_flight) for one in view.partitions] == [
        (0, 10, 24, 5), (1, None, None, 4), (2, None, None, 0),
    ]  # fmt: skip
    assert (view.totals.in_flight, view.totals.accepted, view.adds_up) == (9, 15, True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ((Stage.DOOR, 3, 3, 1), "partition 5, offset 3: 1 event is acknowledged at the door, but not in Kafka"),
        ((Stage.DOOR, 3, 4, -2), "partition 5, offsets 3 to 4: 2 events are acknowledged twice"),
        ((Stage.FOLD, 3, 9, 7), "partition 5, offsets 3 to 9: 7 events are in Kafka, but not judged"),
        ((Stage.FOLD, 3, 9, -1), "partition 5, offsets 3 to 9: 1 event is judged twice"),
        ((Stage.WINDOWS, 3, 9, 2_000), "partition 5, offsets 3 to 9: 2,000 events are judged, but not in the windows"),
        ((Stage.WINDOWS, 3, 9, -2), "partition 5, offsets 3 to 9: 2 events are in the windows, but not judged"),
    ],
)
def test_what_is_wrong_is_told_in_words(wrong: tuple[Stage, int, int, int], says: str) -> None:
    stage, first, last, number = wrong
    of = a_balance(5, 0, 0, 9, difference=1, wrong=[Wrong(stage=stage, first=first, last=last, number=number)])
    view = audit_view(found([of], {5: 10}))
    (told_,) = view.wrong
    assert (told_.says, told_.number, told_.partition, view.adds_up) == (says, number, 5, False)


def test_a_difference_without_a_range_does_not_add_up_either() -> None:
    view = audit_view(found([a_balance(0, 0, 0, 9, difference=3)], {0: 10}))
    assert (view.adds_up, view.totals.difference, view.wrong) == (False, 3, [])


@pytest.mark.parametrize(("ends", "first"), [({0: 8}, 8), ({1: 0}, 0)])
def test_a_partition_that_ends_before_its_balance_or_is_gone_has_lost_events(ends: dict[int, int], first: int) -> None:
    view = audit_view(found([a_balance(0, 0, 0, 9)], ends))
    (lost,) = view.wrong
    assert (lost.stage, lost.first, lost.last, lost.number, lost.minute) == (Stage.DOOR, first, 9, 10 - first, None)
    assert (view.adds_up, view.totals.difference, view.totals.in_flight) == (False, 10 - first, 0)


def test_what_is_told_is_bounded() -> None:
    many = [Wrong(stage=Stage.FOLD, first=0, last=0, number=1)] * (audit_views.WRONG_MAX + 2)
    balances = [a_balance(0, minute, minute, minute) for minute in range(audit_views.MINUTES_MAX + 3)]
    balances[0] = msgspec.structs.replace(balances[0], wrong=many)
    view = audit_view(found(balances, {0: len(balances)}))
    assert (len(view.wrong), view.more_wrong) == (audit_views.WRONG_MAX, 2)
    assert (len(view.minutes), view.more_minutes) == (audit_views.MINUTES_MAX, 3)
    assert view.minutes[-1].last == len(balances) - 1
    assert view.totals.accepted == len(balances)
