"""A letter can always be delivered: within the topic's bound, whatever the record."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipelines import dead_letters
from wire import dead_letters as wire
from wire import topics
from wire.dead_letters import Reason


@dataclass
class Record:
    """What is used of a Faust message."""

    value: bytes | None
    key: bytes | None = b"s1"
    topic: str = "activity"
    partition: int = 3
    offset: int = 7
    timestamp: float = 1_768_471_200.5


@dataclass
class Sent:
    """What is used of a Faust topic."""

    values: list[bytes] = field(default_factory=list)

    async def send(self, *, key: bytes | None, value: bytes) -> Any:
        assert key == b"s1"
        self.values.append(value)


def letter(value: bytes | None) -> wire.DeadLetter:
    sent = Sent()
    made = dead_letters.dead_letter(Record(value), Reason.INVALID, "not what the topic holds")
    asyncio.run(dead_letters.send("aggregate", sent, made))
    assert len(sent.values[0]) <= topics.load()[topics.DEAD_LETTERS].max_message_bytes - 1_000
    return wire.decode(sent.values[0])


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00", bytes(1_048_588)])
def test_a_record_that_kafka_takes_is_kept_with_its_bytes(value: bytes | None) -> None:
    kept = letter(value)
    assert (kept.topic, kept.partition, kept.offset, kept.timestamp_ms) == ("activity", 3, 7, 1_768_471_200_500)
    assert (kept.key, kept.value, kept.detail) == (b"s1", value, "not what the topic holds")


def test_of_a_larger_one_the_letter_says_where_it_lies() -> None:
    kept = letter(bytes(5_000_000))
    assert kept.value is None
    assert kept.detail == (
        "not what the topic holds; its 5,000,000 bytes are too many for a letter and stay in activity"
    )
