"""A dead letter keeps the record's bytes, whatever they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import dead_letters
from wire.dead_letters import DeadLetter, LetterId, Reason


@given(st.none() | st.binary(), st.none() | st.binary(), st.sampled_from(Reason))
def test_the_bytes_come_back_unchanged(key: bytes | None, value: bytes | None, reason: Reason) -> None:
    letter = DeadLetter(
        topic="activity", partition=3, offset=41, timestamp_ms=9, reason=reason, detail="…", key=key, value=value
    )
    assert dead_letters.decode(dead_letters.encode(letter)) == letter


def test_a_letter_of_before_is_read_as_it_was() -> None:
    old = (
        b'{"topic":"activity","partition":3,"offset":41,"timestamp_ms":9,"reason":"too_many_scopes","detail":"",'
        b'"value":"eA=="}'
    )
    letter = dead_letters.decode(old)
    assert (letter.reason, letter.value, letter.sink, letter.tries) == (Reason.TOO_MANY_SCOPES, b"x", "", 0)
    assert dead_letters.encode(letter) == old


@given(
    st.sampled_from(["activity.dead-letters", "metrics.parked", "a-1-2"]), st.integers(0, 999), st.integers(0, 2**59)
)
def test_a_letter_is_called_by_where_it_lies(topic: str, partition: int, offset: int) -> None:
    of = LetterId(topic, partition, offset)
    assert LetterId.parse(str(of)) == of


@pytest.mark.parametrize("text", ["", "a", "a-1", "-1-2", "a-b-2", "a-1-", "a--1-2x", "a-1-²", "a-1-" + "9" * 20])
def test_what_is_no_letters_name_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"activity\.dead-letters-3-41"):
        LetterId.parse(text)
