"""Which letters are told first, and why one is not sent again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from letters import an_event

from gateway.admin import letters, objections
from gateway.admin.letters import Filter, First, Letter
from wire import events, topics
from wire.dead_letters import Action, DeadLetter, Handled, LetterId, Reason

NOW_MS = 1_768_471_200_000


def content(value: bytes | None = b"x", **changes: object) -> DeadLetter:
    plain = DeadLetter(
        topic="activity", partition=1, offset=2, timestamp_ms=NOW_MS, reason=Reason.INVALID, detail="why", key=b"s1",
        value=value,
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def a_letter(written_ms: int, partition: int = 0, offset: int = 0, **given: object) -> Letter:
    return Letter(LetterId(topics.DEAD_LETTERS, partition, offset), written_ms, content(**given))  # type: ignore[arg-type]


@given(
    places=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 99)), unique_by=lambda p: p[1:]),
    limit=st.integers(1, 12),
    newest=st.booleans(),
)
def test_the_first_of_an_order_are_kept_whatever_order_they_come_in(
    places: list[tuple[int, int, int]], limit: int, newest: bool
) -> None:
    first = First(limit, newest=newest)
    for place in places:
        first.add(a_letter(*place))
    assert [letter.place for letter in first.letters()] == sorted(places, reverse=newest)[:limit]
    assert first.left_out == max(0, len(places) - limit)


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30), order=st.randoms())
def test_large_letters_end_a_page_early_and_leave_no_hole_in_it(sizes: list[int], order: object) -> None:
    whole = [a_letter(number, offset=number, value=bytes(size * 2**20)) for number, size in enumerate(sizes)]
    shuffled = list(whole)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    first = First(1_000, newest=False)
    for letter in shuffled:
        first.add(letter)
    kept = first.letters()
    assert kept == whole[: len(kept)]
    assert len(kept) >= 1
    assert first.left_out == len(whole) - len(kept)
    assert len(kept) == 1 or sum(len(letter.content.value or b"") for letter in kept) <= letters.HELD_BYTES_MAX


def test_a_filter_takes_what_fits_each_of_its_fields() -> None:
    letter = a_letter(1_000)
    done = Letter(
        letter.id, 1_000, letter.content, Handled(letter_ms=1_000, action=Action.DROPPED, at_ms=2, by="", why="")
    )
    assert Filter().takes(letter)
    assert not Filter().takes(done)
    assert Filter(handled=True).takes(done)
    assert Filter(reason=Reason.INVALID, source="activity", since_ms=1_000, until_ms=1_001).takes(letter)
    for other in (
        Filter(reason=Reason.FUTURE), Filter(source="metrics"), Filter(since_ms=1_001), Filter(until_ms=1_000),
    ):  # fmt: skip
        assert not other.takes(letter)


EVENT = an_event(occurred_at_ms=NOW_MS)
GOOD = events.encode(EVENT)
DONE = Handled(letter_ms=1, action=Action.REPLAYED, at_ms=2, by="ops", why="mended")


@pytest.mark.parametrize(
    ("letter", "handled", "why"),
    [
        (content(GOOD), None, ""),
        (content(GOOD, reason=Reason.FAILED), None, ""),
        (content(GOOD), DONE, "replayed already, by ops: mended"),
        (content(b"\xff"), None, "not JSON"),
        (content(b'{"a":' + b"[" * 100_000), None, "not JSON"),
        (content(b"{}"), None, "missing required field"),
        (content(None), None, "it has no value"),
        (content(GOOD, key=None), None, "it has no key"),
        (content(GOOD, key=b"s2"), None, "its key is not its student_id"),
        (content(events.encode(an_event(occurred_at_ms=NOW_MS + 300_000))), None, ""),
        (content(events.encode(an_event(occurred_at_ms=NOW_MS + 300_001))), None, "is still 300 s ahead"),
        (content(events.encode(an_event(occurred_at_ms=-1))), None, "before 1970"),
        (content(b'{"scope":"course:c","points":[]}', topic="metrics", key=b"course:c"), None, ""),
        (content(b'{"scope":"nonsense","points":[]}', topic="metrics"), None, "it would come back"),
    ],
)
def test_a_replay_makes_sense_where_the_record_would_be_taken_now(
    letter: DeadLetter, handled: Handled | None, why: str
) -> None:
    said = objections.pointless(letter, handled, NOW_MS, 300_000)
    assert (why in said) if why else (said == "")


def test_what_can_never_be_replayed() -> None:
    assert objections.impossible(content()) == ""
    assert "nothing is replayed to 'topics.applied'" in objections.impossible(content(topic="topics.applied"))
    assert "5,000,000 bytes are not in the letter" in objections.impossible(content(None, left_out_bytes=5_000_000))


def test_an_old_event_is_known_to_come_late() -> None:
    assert objections.warning(content(GOOD), NOW_MS + 3_600_000) == ""
    assert "happened 2.0 h ago" in objections.warning(content(GOOD), NOW_MS + 7_200_000)
    assert objections.warning(content(b"\xff"), NOW_MS + 7_200_000) == ""
