"""What became of records of `activity`, by what the audit says of their offsets. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.admin.letters import Letter
from gateway.admin.sightings import Sighting
from wire.audit import Claimed, Judged, Runs, Said
from wire.dead_letters import Reason

# A door says within seconds what it has acknowledged; one that cannot reach Kafka says it later.
CLAIMED_WITHIN_MS = 10 * 60_000


class Fate(StrEnum):
    FOLDED = "folded"
    DUPLICATE = "duplicate"
    LATE = "late"
    DEAD = "dead"
    IN_FLIGHT = "in_flight"  # not read yet
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    COUNTED = "counted"
    NOT_COUNTED = "not_counted"
    IN_FLIGHT = "in_flight"
    UNKNOWN = "unknown"


class Hearing:
    """What is said of some offsets of one partition, by records of `audit` in the order they lie in."""

    def __init__(self, offsets: Collection[int], newest_ms: int) -> None:
        """`newest_ms`: when the last of them was written."""
        self.claims: dict[int, Claimed] = {}
        self.whole = False  # all has been heard that is said of them
        self._offsets = offsets
        self._until_ms = newest_ms + CLAIMED_WITHIN_MS
        self._fates: dict[int, Fate] = {}
        self._passed: set[int] = set()  # only those behind them are spoken of: their own time is not in the audit

    def take(self, said: Said, at_ms: int) -> None:
        """`at_ms`: when it was said. Sets `whole` as soon as more need not be read."""
        for offset in self._offsets:
            if isinstance(said, Claimed):
                if _holds(said.runs, offset):
                    self.claims.setdefault(offset, said)
            elif said.first <= offset <= said.last:
                self._fates.setdefault(offset, _verdict(said, offset))
            elif offset < said.first:
                self._passed.add(offset)
        judged = all(offset in self._fates or offset in self._passed for offset in self._offsets)
        self.whole = judged and (at_ms > self._until_ms or len(self.claims) == len(self._offsets))

    def fate(self, offset: int) -> tuple[Fate, str]:
        """With the reason, where it is not known."""
        if (known := self._fates.get(offset)) is not None:
            return known, ""
        if offset in self._passed:
            return Fate.UNKNOWN, "the audit does not reach back to it"
        if not self.whole:
            return Fate.UNKNOWN, "time was up before all of the audit was read"
        return Fate.IN_FLIGHT, ""


def _verdict(judged: Judged, offset: int) -> Fate:
    for fate, runs in ((Fate.DUPLICATE, judged.duplicate), (Fate.LATE, judged.late), (Fate.DEAD, judged.dead)):
        if _holds(runs, offset):
            return fate
    return Fate.FOLDED


def _holds(runs: Runs, offset: int) -> bool:
    return any(first <= offset <= last for first, last in runs)


@dataclass
class Judgement:
    """What became of it."""

    of: Sighting
    fate: Fate
    why: str = ""  # it is not known
    claimed: bool | None = None  # a door has acknowledged it; None: not known
    claim: Claimed | None = None
    letter: Letter | None = None  # of a dead one
    first: list[int] = field(default_factory=list)  # of a duplicate: the offsets of those it repeats


def judge(sighting: Sighting, heard: Hearing) -> Judgement:
    fate, why = heard.fate(sighting.offset)
    claim = heard.claims.get(sighting.offset)
    return Judgement(sighting, fate, why, claimed=True if claim else False if heard.whole else None, claim=claim)


def match(judgements: Sequence[Judgement]) -> None:
    """Tells duplicates, in place, what they repeat. Of what was dead, only one with too many places counts as seen."""
    for one in judgements:
        if one.fate is Fate.DUPLICATE:
            one.first = [
                other.of.offset
                for other in judgements
                if (other.of.partition, other.of.key) == (one.of.partition, one.of.key)
                and other.of.offset < one.of.offset
                and (
                    other.fate in (Fate.FOLDED, Fate.UNKNOWN)
                    or (other.letter is not None and other.letter.content.reason is Reason.TOO_MANY_SCOPES)
                )
            ]


def answer(judgements: Sequence[Judgement]) -> tuple[Outcome, str]:
    """Of all records with the event id, in the order they were written."""
    by_fate = {fate: [one for one in judgements if one.fate is fate] for fate in Fate}
    if folded := by_fate[Fate.FOLDED]:
        return Outcome.COUNTED, _counted(folded) + _unread(len(by_fate[Fate.IN_FLIGHT]))
    if waiting := by_fate[Fate.IN_FLIGHT]:
        return Outcome.IN_FLIGHT, f"{'accepted' if any(one.claim for one in waiting) else 'in Kafka'}, not read yet"
    if unknown := by_fate[Fate.UNKNOWN]:
        return Outcome.UNKNOWN, f"not known: {unknown[0].why}"
    if not all(one.first for one in by_fate[Fate.DUPLICATE]):
        return Outcome.UNKNOWN, "a duplicate of one that lies before what was searched"
    reasons = dict.fromkeys(_reason(one) for one in judgements if one.fate is not Fate.DUPLICATE)
    return Outcome.NOT_COUNTED, f"not counted: {', '.join(reasons)}"


def _counted(folded: Sequence[Judgement]) -> str:
    places = ", ".join(f"offset {one.of.offset} of partition {one.of.partition}" for one in folded)
    students = len({one.of.key for one in folded})
    if len(folded) == 1:
        return f"counted once, at {places}"
    if students == len(folded):
        return f"counted once for each of {students} students, at {places}"
    return f"counted {len(folded)} times, at {places}"


def _unread(number: int) -> str:
    return f"; {number} more not read yet" if number else ""


def _reason(one: Judgement) -> str:
    return f"{one.fate} ({one.letter.content.reason})" if one.letter else one.fate
