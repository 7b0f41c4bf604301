"""What became of one event: found in `activity` by its id, judged by what `audit` says of its offset.

There is no index of event ids, so `activity` is read from `since` to its end, within a time limit; of a student only
his own partition.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from aiokafka.partitioner import murmur2

from gateway.admin import fates
from gateway.admin.fates import Fate, Hearing, Judgement, Outcome
from gateway.admin.letters import Filter, Letters
from gateway.admin.reading import NotAllReadError, NotThereError, Progress, Reading, Tally, reading
from gateway.admin.sightings import SIGHTINGS_MAX, Sighting, Sightings
from gateway.admin.views import utc
from wire import audit, topics

log = logging.getLogger(__name__)  # the standard library's: on the command line it keeps to standard error

# Of the time limit; the rest is for letters.
SEARCH_SHARE, AUDIT_SHARE = 0.6, 0.2
# What is said of a record is looked for from so long before its own time: Kafka takes no record whose time is further
# ahead than an hour, and clocks differ.
AHEAD_MS = 65 * 60_000


@dataclass(frozen=True)
class Question:
    event_id: str
    since_ms: int  # when the record was written
    now_ms: int
    student: str | None = None  # only in his partition, under his key


@dataclass(frozen=True)
class Trace:
    question: Question
    partitions: list[int]  # that were searched
    read: int  # records
    total: int  # less were read where time was up
    judgements: list[Judgement]  # in the order they were written
    more: int  # records with the id that were not looked at
    complete: bool  # all was read: those records, the audit and the letters
    outcome: Outcome
    answer: str


async def trace(
    servers: str, question: Question, timeout_s: float, progress: Progress = lambda _read, _total: None
) -> Trace:
    """`servers`: host:port, separated by commas. Raises KafkaAwayError, NotThereError, and NotAllReadError where time
    was up before any was found."""
    addresses = [address.strip() for address in servers.split(",")]
    tally, found = Tally(progress), Sightings(question.event_id, question.student)
    async with reading(addresses, timeout_s * (SEARCH_SHARE + AUDIT_SHARE), [topics.ACTIVITY, topics.AUDIT]) as there:
        partitions = _partitions(there, question.student)
        starts = await there.since(topics.ACTIVITY, dict.fromkeys(partitions, question.since_ms))
        async for record in there.records(starts, tally, timeout_s * SEARCH_SHARE):
            found.look_at(record)
        if not found.kept:
            raise _not_found(question, partitions, tally)
        by_partition = defaultdict[int, list[Sighting]](list)
        for one in found.kept:
            by_partition[one.partition].append(one)
        heard = {partition: await _heard(there, of) for partition, of in by_partition.items()}
    judgements = [fates.judge(one, heard[one.partition]) for one in found.in_order()]
    letters = Letters(servers, timeout_s * (1 - SEARCH_SHARE - AUDIT_SHARE))
    has_letters = await _add_letters(letters, judgements)
    fates.match(judgements)
    outcome, answer = fates.answer(judgements)
    return Trace(
        question=question,
        partitions=partitions,
        read=tally.read,
        total=tally.total,
        judgements=judgements,
        more=found.more,
        complete=tally.complete and has_letters and all(of.whole for of in heard.values()),
        outcome=outcome,
        answer=answer,
    )


def _partitions(there: Reading, student: str | None) -> list[int]:
    all_ = there.partitions(topics.ACTIVITY)
    return all_ if student is None else [(murmur2(student.encode()) & 0x7FFFFFFF) % len(all_)]  # as producers do


async def _heard(there: Reading, sightings: Sequence[Sighting]) -> Hearing:
    """What the audit says of records of one partition."""
    hearing = Hearing([one.offset for one in sightings], max(one.written_ms for one in sightings))
    starts = await there.since(topics.AUDIT, {sightings[0].partition: _since_ms(sightings)})
    tally = Tally()
    async with aclosing(there.records(starts, tally)) as records:
        async for record in records:
            try:
                hearing.take(audit.decode(record.value or b""), record.timestamp)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                log.warning("%s, partition %d, offset %d: %s", topics.AUDIT, record.partition, record.offset, error)
            if hearing.whole:
                return hearing
    hearing.whole = tally.complete
    return hearing


async def _add_letters(letters: Letters, judgements: Sequence[Judgement]) -> bool:
    """To those that are dead. False where not all letters could be read in time."""
    dead = {(one.of.partition, one.of.offset): one for one in judgements if one.fate is Fate.DEAD}
    if not dead:
        return True
    since_ms = _since_ms(one.of for one in dead.values())
    wanted = Filter(source=topics.ACTIVITY, since_ms=since_ms, handled=True, records=frozenset(dead))
    found = await letters.find(wanted, limit=2 * SIGHTINGS_MAX, newest=False)
    for letter in found.letters:
        content = letter.content
        one = dead[content.partition, content.offset]
        # One may be there twice; and a topic made anew begins with the same offsets.
        if content.timestamp_ms == one.of.written_ms and (one.letter is None or letter.handled):
            one.letter = letter
    return found.complete


def _since_ms(sightings: Iterable[Sighting]) -> int:
    """From when on something may be said of them."""
    return min(one.written_ms for one in sightings) - AHEAD_MS


def _not_found(question: Question, partitions: Sequence[int], tally: Tally) -> Exception:
    where = f"partition {partitions[0]}" if len(partitions) == 1 else f"{len(partitions)} partitions"
    what = f"the event id {question.event_id!r}"
    if not tally.complete:
        return NotAllReadError(
            f"{what} is not among the first {tally.read:,} of {tally.total:,} records of {where} of {topics.ACTIVITY}, "
            "then time was up: name the `student`, or a later `since`"
        )
    written = f"written from {utc(question.since_ms):%Y-%m-%dT%H:%M:%SZ} to {utc(question.now_ms):%Y-%m-%dT%H:%M:%SZ}"
    elsewhere = "" if question.student is None else "; without `student` all partitions are searched"
    return NotThereError(
        f"{what} is in none of the {tally.total:,} records of {where} of {topics.ACTIVITY} {written}: an earlier "
        f"`since` looks further back{elsewhere}"
    )
