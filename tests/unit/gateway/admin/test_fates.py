"""What the audit says of offsets, and what that makes of an event."""

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from letters import an_event

from gateway.admin import fates
from gateway.admin.fates import CLAIMED_WITHIN_MS, Fate, Hearing, Judgement, Outcome
from gateway.admin.letters import Letter
from gateway.admin.sightings import Sighting
from wire import audit
from wire.audit import Claimed, Judged, Totals
from wire.dead_letters import DeadLetter, LetterId, Reason

JUDGED = (Fate.FOLDED, Fate.DUPLICATE, Fate.LATE, Fate.DEAD)
NOW_MS = 1_768_471_200_000


def judged(first: int, verdicts: list[Fate]) -> Judged:
    """As fold tells it."""
    runs: dict[Fate, audit.Runs] = {fate: [] for fate in Fate}
    for offset, fate in enumerate(verdicts, first):
        audit.add(runs[fate], offset)
    return Judged(
        partition=0, first=first, last=first + len(verdicts) - 1, at_ms=0, base=0, totals=Totals(),
        duplicate=runs[Fate.DUPLICATE], late=runs[Fate.LATE], dead=runs[Fate.DEAD],
    )  # fmt: skip


def claimed(*runs: tuple[int, int]) -> Claimed:
    return Claimed(door="a", partition=0, at_ms=NOW_MS, runs=list(runs))


@given(
    truth=st.lists(st.sampled_from(JUDGED), min_size=1, max_size=40),
    unread=st.integers(0, 5),
    cuts=st.lists(st.integers(0, 40), max_size=8),
    again=st.integers(0, 40),
    rng=st.randoms(),
)
def test_every_offset_has_the_fate_that_fold_told_however_it_was_cut_and_told_again(
    truth: list[Fate], unread: int, cuts: list[int], again: int, rng: random.Random
) -> None:
    hearing = Hearing(range(len(truth) + unread), NOW_MS)
    edges = sorted({0, len(truth), *(cut for cut in cuts if cut < len(truth))})
    for first, end in pairwise(edges):
        hearing.take(judged(first, truth[first:end]), NOW_MS)
        if rng.random() < 0.3:  # killed: from somewhere before, with other ranges
            begin = min(again, first)
            hearing.take(judged(begin, truth[begin:end]), NOW_MS)
    assert not hearing.whole
    hearing.whole = True  # the end of the topic
    assert [hearing.fate(offset)[0] for offset in range(len(truth))] == truth
    assert {hearing.fate(len(truth) + number) for number in range(unread)} <= {(Fate.IN_FLIGHT, "")}


def test_what_has_not_been_heard_is_not_guessed() -> None:
    hearing = Hearing([4, 9], NOW_MS)
    hearing.take(judged(5, [Fate.FOLDED] * 3), NOW_MS)
    assert hearing.fate(4) == (Fate.UNKNOWN, "the audit does not reach back to it")
    assert hearing.fate(9) == (Fate.UNKNOWN, "time was up before all of the audit was read")
    hearing.whole = True
    assert hearing.fate(9) == (Fate.IN_FLIGHT, "")


def test_it_has_heard_all_when_judged_and_claimed_or_when_nobody_claims_it_any_more() -> None:
    hearing = Hearing([4, 5], NOW_MS)
    hearing.take(claimed((1, 4), (8, 9)), NOW_MS)
    hearing.take(judged(0, [Fate.FOLDED] * 5), NOW_MS + CLAIMED_WITHIN_MS + 1)
    assert not hearing.whole  # 5 is not judged
    hearing.take(judged(5, [Fate.LATE]), NOW_MS)
    assert not hearing.whole  # nor claimed, which a door may still do
    hearing.take(claimed((5, 6)), NOW_MS)
    assert hearing.whole
    assert set(hearing.claims) == {4, 5}

    nobodys = Hearing([4], NOW_MS)
    nobodys.take(judged(4, [Fate.LATE]), NOW_MS)
    nobodys.take(claimed((5, 6)), NOW_MS + CLAIMED_WITHIN_MS)
    assert not nobodys.whole
    nobodys.take(claimed((5, 6)), NOW_MS + CLAIMED_WITHIN_MS + 1)
    assert (nobodys.whole, nobodys.claims) == (True, {})


def one(fate: Fate, offset: int = 41, key: bytes | None = b"s1", partition: int = 3, **given: Any) -> Judgement:
    return Judgement(Sighting(partition, offset, NOW_MS, key, b"", an_event()), fate, **given)


def letter(reason: Reason) -> Letter:
    content = DeadLetter(topic="activity", partition=3, offset=41, timestamp_ms=NOW_MS, reason=reason, detail="why")
    return Letter(LetterId("activity.dead-letters", 3, 0), NOW_MS, content)


CLAIM = claimed((0, 99))
INVALID, FULL = letter(Reason.INVALID), letter(Reason.TOO_MANY_SCOPES)


@pytest.mark.parametrize(
    ("judgements", "outcome", "answer"),
    [
        ([one(Fate.FOLDED)], Outcome.COUNTED, "counted once, at offset 41 of partition 3"),
        ([one(Fate.FOLDED), one(Fate.DUPLICATE, 44)], Outcome.COUNTED, "counted once, at offset 41 of partition 3"),
        ([one(Fate.DEAD, letter=INVALID), one(Fate.FOLDED, 50)], Outcome.COUNTED, "counted once, at offset 50 of"),
        ([one(Fate.FOLDED), one(Fate.IN_FLIGHT, 50)], Outcome.COUNTED, "partition 3; 1 more not read yet"),
        ([one(Fate.FOLDED), one(Fate.FOLDED, 50)], Outcome.COUNTED, "counted 2 times, at offset 41 of partition 3, "),
        ([one(Fate.FOLDED), one(Fate.FOLDED, 5, b"s2", 1)], Outcome.COUNTED, "once for each of 2 students"),
        ([one(Fate.IN_FLIGHT, claim=CLAIM)], Outcome.IN_FLIGHT, "accepted, not read yet"),
        ([one(Fate.IN_FLIGHT)], Outcome.IN_FLIGHT, "in Kafka, not read yet"),
        ([one(Fate.DEAD, letter=INVALID), one(Fate.IN_FLIGHT, 50)], Outcome.IN_FLIGHT, "in Kafka, not read yet"),
        ([one(Fate.UNKNOWN, why="so")], Outcome.UNKNOWN, "not known: so"),
        ([one(Fate.LATE)], Outcome.NOT_COUNTED, "not counted: late"),
        ([one(Fate.DEAD)], Outcome.NOT_COUNTED, "not counted: dead"),
        (
            [one(Fate.DEAD, letter=INVALID), one(Fate.LATE, 50)],
            Outcome.NOT_COUNTED,
            "not counted: dead (invalid), late",
        ),
        ([one(Fate.DEAD, letter=FULL), one(Fate.DUPLICATE, 50)], Outcome.NOT_COUNTED, "dead (too_many_scopes)"),
        ([one(Fate.DUPLICATE)], Outcome.UNKNOWN, "a duplicate of one that lies before what was searched"),
        ([one(Fate.LATE), one(Fate.DUPLICATE, 50)], Outcome.UNKNOWN, "a duplicate of one that lies before"),
    ],
)
def test_the_answer_is_about_all_records_with_the_id(
    judgements: list[Judgement], outcome: Outcome, answer: str
) -> None:
    fates.match(judgements)
    said = fates.answer(judgements)
    assert (said[0], answer in said[1]) == (outcome, True), said


def test_a_duplicate_repeats_earlier_ones_of_the_same_student_that_count() -> None:
    earlier = [
        one(Fate.LATE, 1),
        one(Fate.FOLDED, 2),
        one(Fate.DEAD, 3, letter=INVALID),
        one(Fate.DEAD, 4, letter=FULL),
        one(Fate.DUPLICATE, 5),
        one(Fate.FOLDED, 6, b"s2"),
        one(Fate.FOLDED, 7, partition=4),
    ]
    late, repeated = one(Fate.FOLDED, 9), one(Fate.DUPLICATE, 8)
    fates.match([*earlier, late, repeated])
    assert (repeated.first, earlier[4].first, late.first) == ([2, 4], [2, 4], [])


def test_whether_a_door_has_claimed_it_is_only_said_when_all_was_heard() -> None:
    hearing = Hearing([41], NOW_MS)
    sighting = one(Fate.UNKNOWN).of
    assert fates.judge(sighting, hearing).claimed is None
    hearing.whole = True
    assert fates.judge(sighting, hearing).claimed is False
    hearing.take(claimed((40, 41)), NOW_MS)
    assert fates.judge(sighting, hearing).claimed is True
