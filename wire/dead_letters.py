"""A record no pipeline could use, kept whole in `activity.dead-letters`."""

from enum import StrEnum

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


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: Reason
    detail: str
    key: bytes | None = None  # base64 in JSON
    value: bytes | None = None  # base64 in JSON: the record's bytes, unchanged


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(DeadLetter)


def decode(data: bytes) -> DeadLetter:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)
