"""A dead letter keeps the record's bytes, whatever they are."""

from hypothesis import given
from hypothesis import strategies as st

from wire import dead_letters
from wire.dead_letters import DeadLetter, Reason


@given(st.none() | st.binary(), st.none() | st.binary(), st.sampled_from(Reason))
def test_the_bytes_come_back_unchanged(key: bytes | None, value: bytes | None, reason: Reason) -> None:
    letter = DeadLetter(
        topic="activity", partition=3, offset=41, timestamp_ms=9, reason=reason, detail="…", key=key, value=value
    )
    assert dead_letters.decode(dead_letters.encode(letter)) == letter
