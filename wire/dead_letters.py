"""What could not be used, kept whole: a record that no pipeline could read, in `activity.dead-letters`; an update that
a store did not take, in `metrics.parked`. And what somebody did with it, in `dead-letters.handled`."""

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Reason(StrEnum):
    NO_KEY = "no_key"
    NO_VALUE = "no_value"
    NOT_JSON = "not_json"
    INVALID = "invalid"  # JSON, but not what the topic holds
    KEY_MISMATCH = "key_mismatch"  # the record's key is not the event's student
    FUTURE = "future"  # event time ahead of the record's timestamp by more than the allowed clock skew
    TOO_MANY_SCOPES = "too_many_scopes"  # the student is in more courses and teams than are kept of one
    FAILED = "failed"  # our code raised
    REFUSED = "refused"  # the store was there, and did not take it


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the record lies, why it was not used, and its bytes."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: Reason
    detail: str
    key: bytes | None = None  # base64 in JSON
    value: bytes | None = None  # base64 in JSON: the record's bytes; of a parked update the points that were not taken
    left_out_bytes: int = 0  # of a value too large for a letter: it is only where the record lies
    sink: str = ""  # of a parked update: whose store
    tries: int = 0  # of a parked update


class LetterId(NamedTuple):
    """Where a letter lies, which is what it is called."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "LetterId":
        """Raises ValueError."""
        topic, *numbers = text.rsplit("-", 2)
        if len(numbers) != 2 or not all(n.isascii() and n.isdecimal() and len(n) < 19 for n in numbers) or not topic:
            raise ValueError(
                f"{text!r} is no letter: expected TOPIC-PARTITION-OFFSET, as in activity.dead-letters-3-41"
            )
        return cls(topic, *map(int, numbers))


class Action(StrEnum):
    REPLAYED = "replayed"
    DROPPED = "dropped"


class Handled(msgspec.Struct, frozen=True, kw_only=True):
    """What was done with a letter; keyed by its id. The newest counts."""

    letter_ms: int  # the letter's own timestamp: a topic made anew begins with the same ids
    action: Action
    at_ms: int
    by: str
    why: str


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(DeadLetter)
_handled_decoder = msgspec.json.Decoder(Handled)


def decode(data: bytes) -> DeadLetter:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)


def decode_handled(data: bytes) -> Handled:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _handled_decoder.decode(data)
