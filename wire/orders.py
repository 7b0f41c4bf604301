"""What the workers are ordered to do. The gateway writes it to Redis; each worker reads it with every heartbeat."""

from datetime import UTC, datetime

import msgspec

DRAIN_TTL_S = 60  # what a worker has not heard by then it is not to do any more


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer group is to take no further batch. It ends by itself, whatever server is away then."""

    group: str
    by: str
    reason: str
    since_ms: int
    until_ms: int

    @property
    def says(self) -> str:
        return f"paused by {self.by} since {_utc(self.since_ms)} until {_utc(self.until_ms)}: {self.reason}"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is ordered of a group, under `channels.standing`. Where there is no such key, nothing has been said, and
    whoever is paused stays so: Redis may have been emptied."""

    pause: Pause | None = None


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """One worker is to finish, commit and end: under `channels.drain`, with DRAIN_TTL_S. A process id comes round
    again, so it is for those that had started by `at_ms`."""

    by: str
    reason: str
    at_ms: int


encode = msgspec.json.Encoder().encode
_standing = msgspec.json.Decoder(Standing)
_drain = msgspec.json.Decoder(Drain)


def decode_standing(data: bytes | str) -> Standing:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _standing.decode(data)


def decode_drain(data: bytes | str) -> Drain:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _drain.decode(data)


def _utc(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%MZ}"
