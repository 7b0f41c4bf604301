"""What adds up, per partition of `activity` and offset by offset: who acknowledged it, and what fold made of it.

Doors and fold say so in the topic `audit`, in the partition of the same number. What the audit makes of both is a
`Balance` in `audit.balances`: accepted + unclaimed = folded + duplicate + late + dead + difference.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

Run = tuple[int, int]  # offsets, the first and the last
Runs = list[Run]  # ascending, apart from each other


class Totals(msgspec.Struct, array_like=True, frozen=True):
    """Events by verdict."""

    folded: int = 0
    duplicate: int = 0
    late: int = 0
    dead: int = 0

    @property
    def all(self) -> int:
        return self.folded + self.duplicate + self.late + self.dead


class Claimed(msgspec.Struct, kw_only=True, frozen=True, tag="claimed"):
    """Offsets that Kafka has acknowledged to a door. Said once of each; a door that is killed has not said it of its
    last second."""

    door: str  # one life of one gateway
    partition: int
    at_ms: int  # wall clock
    runs: Runs


class Judged(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag="judged"):
    """What fold made of the offsets `first` to `last`: folded, where no run names them. A replay says the same of
    each offset, with other ranges."""

    partition: int
    first: int
    last: int
    at_ms: int  # the highest record timestamp up to `last`
    base: int  # the first offset that was ever counted
    totals: Totals  # of `base` to `last`, by counters
    duplicate: Runs = []
    late: Runs = []
    dead: Runs = []
    adrift: int = 0  # folded events that are not in the sums of the windows, of the hours told with it


class Stage(StrEnum):
    DOOR = "door"  # acknowledged, and not in Kafka; or acknowledged twice
    FOLD = "fold"  # in Kafka, and not judged; or judged twice
    WINDOWS = "windows"  # judged, and not in the windows


class Wrong(msgspec.Struct, kw_only=True, frozen=True):
    """Offsets that do not add up."""

    stage: Stage
    first: int
    last: int
    number: int  # events; below 0: too many


class Balance(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Of one partition and minute of record time; the newest of them counts."""

    partition: int
    minute_ms: int
    first: int  # offset
    last: int
    accepted: int  # that a door has claimed
    totals: Totals
    difference: int = 0  # over the stages, each without its sign
    wrong: list[Wrong] = []

    @property
    def unclaimed(self) -> int:
        """In Kafka, but acknowledged by no door: written by others, or by a door that was killed or had no answer."""
        return self.last - self.first + 1 - self.accepted

    @property
    def key(self) -> str:
        return f"{self.partition}:{self.minute_ms}"


Said = Claimed | Judged

encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_balance_decoder = msgspec.json.Decoder(Balance)


def decode(data: bytes) -> Said:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)


def decode_balance(data: bytes) -> Balance:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _balance_decoder.decode(data)


def add(runs: Runs, offset: int) -> None:
    """In place; `offset` is behind all of them."""
    if runs and runs[-1][1] == offset - 1:
        runs[-1] = (runs[-1][0], offset)
    else:
        runs.append((offset, offset))


def joined(runs: Iterable[Run]) -> Runs:
    """Of runs in any order, no two of which share an offset."""
    found: Runs = []
    for first, last in sorted(runs):
        if found and found[-1][1] == first - 1:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found


def number(runs: Runs) -> int:
    return sum(last - first + 1 for first, last in runs)
