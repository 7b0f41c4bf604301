"""A letter can always be delivered: within the topic's bound, whatever the record."""

import pytest

from pipelines import dead_letters
from pipelines.records import Message
from wire import dead_letters as wire
from wire import topics
from wire.dead_letters import Reason


def letter(value: bytes | None) -> wire.DeadLetter:
    record = Message(7, 1_768_471_200_500, b"s1", value)
    made = dead_letters.dead_letter("activity", 3, record, Reason.INVALID, "not what the topic holds")
    written = dead_letters.write("aggregate", made)
    assert len(written) <= topics.load()[topics.DEAD_LETTERS].max_message_bytes - 1_000
    return wire.decode(written)


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00", bytes(1_048_588)])
def test_a_record_that_kafka_takes_is_kept_with_its_bytes(value: bytes | None) -> None:
    kept = letter(value)
    assert (kept.topic, kept.partition, kept.offset, kept.timestamp_ms) == ("activity", 3, 7, 1_768_471_200_500)
    assert (kept.key, kept.value, kept.detail) == (b"s1", value, "not what the topic holds")


def test_of_a_larger_one_the_letter_says_where_it_lies() -> None:
    kept = letter(bytes(5_000_000))
    assert (kept.value, kept.left_out_bytes) == (None, 5_000_000)
    assert kept.detail == (
        "not what the topic holds; its 5,000,000 bytes are too many for a letter and stay in activity"
    )
