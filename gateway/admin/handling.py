"""Letters replayed or dropped: looked at first, then done, then marked as done.

A replay sends a record's bytes to the topic it came from, under its key; Kafka acknowledges it before the letter is
marked. Killed in between, the letter is still there to be replayed, and what is sent a second time changes nothing: an
event counts once by its id, a partial and an update of `metrics` hold absolute values. No transaction binds the two,
because its end marks would lie in `activity` as offsets that nobody read.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from gateway.admin import objections
from gateway.admin.letters import Filter, Letter, Letters
from gateway.admin.reading import REQUEST_TIMEOUT_MS, KafkaAwayError, NotAllReadError, Tally, reading, told
from gateway.ingest.publisher import close
from gateway.security.audit_log import Entry
from wire import dead_letters, metrics, topics
from wire.dead_letters import Action, DeadLetter, Handled, LetterId
from wire.metrics import ScopeUpdate

log = logging.getLogger(__name__)

LIMIT_MAX = 1_000  # letters at once
STEP = 100  # sent, then marked; a kill leaves as many to be sent again
RECORD_BYTES_MAX = 2 * 2**20  # what any of our topics takes
ORIGIN = "replayed-from"  # the header that says which letter it was


class Verdict(NamedTuple):
    """What is to become of a letter."""

    letter: Letter
    objection: str  # "": it is done
    note: str = ""
    value: bytes | None = None  # what is sent


@dataclass(frozen=True)
class Report:
    action: Action
    done: bool  # else it was only looked at
    verdicts: list[Verdict]
    more: int  # letters that match and were not looked at

    @property
    def good(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if not verdict.objection]


async def choose(letters: Letters, chosen: Filter | Sequence[LetterId], limit: int) -> tuple[list[Letter], int]:
    """The oldest first, and how many more there are. Raises KafkaAwayError, NotThereError, NotAllReadError."""
    if not isinstance(chosen, Filter):
        return await letters.get(chosen), 0
    found = await letters.find(chosen, limit, newest=False)
    if not found.complete:
        raise NotAllReadError(
            f"read {found.read:,} of {found.total:,} letters in {letters.timeout_s:g} s: ask for less or wait longer"
        )
    return found.letters, found.more


async def judge(
    letters: Letters, chosen: Iterable[Letter], action: Action, *, force: bool, now_ms: int, skew_ms: int
) -> list[Verdict]:
    """`force` replays what would be in vain or was done before. Raises KafkaAwayError."""
    verdicts = []
    for letter in chosen:
        content, handled = letter.content, letter.handled
        if action is Action.DROPPED:
            verdicts.append(Verdict(letter, f"{handled.action} already, by {handled.by}" if handled else ""))
            continue
        why_not = objections.impossible(content)
        if not (why_not or force):
            why_not = objections.pointless(content, handled, now_ms, skew_ms)
        verdicts.append(Verdict(letter, why_not, objections.warning(content, now_ms), content.value))
    if updates := [verdict.letter.content for verdict in verdicts if _is_update(verdict)]:
        since = await _since(letters, updates)
        verdicts = [since.judge(verdict, force=force) if _is_update(verdict) else verdict for verdict in verdicts]
    return verdicts


def begun(who: str, action: Action, verdicts: Iterable[Verdict], why: str, origin: str = "") -> Entry:
    """For the audit log, before `carry_out`."""
    ids = ", ".join(str(verdict.letter.id) for verdict in verdicts if not verdict.objection)
    return Entry(who, f"letters.{action}", ids, origin, "begun", why)


def ended(begun: Entry, verdicts: Sequence[Verdict]) -> Entry:
    """And what to write after it, of the same letters."""
    done = sum(not verdict.objection for verdict in verdicts)
    return begun._replace(result="done", detail=f"{done} of {len(verdicts)}")


async def carry_out(
    letters: Letters, action: Action, verdicts: Iterable[Verdict], *, by: str, why: str
) -> list[Verdict]:
    """Does what has no objection; returns the verdicts, with an objection where Kafka had one. Raises KafkaAwayError,
    with any part of it done, and marked; the same again does the rest."""
    outcome = list(verdicts)
    wanted = [number for number, verdict in enumerate(outcome) if not verdict.objection]
    producer = AIOKafkaProducer(
        bootstrap_servers=letters.servers,
        client_id="classpulse-admin",
        acks="all",  # and not idempotent: with one record refused, all that follow would be
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_request_size=RECORD_BYTES_MAX,
    )
    done = 0
    try:
        await producer.start()
        for first in range(0, len(wanted), STEP):
            some = wanted[first : first + STEP]
            async with asyncio.timeout(4 * REQUEST_TIMEOUT_MS / 1000):
                settled = await _step(producer, action, [outcome[number] for number in some], by, why)
            for number, verdict in zip(some, settled, strict=True):
                outcome[number] = verdict
            done += len(some)
            letters.progress(done, len(wanted))
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        far = f"{done} of {len(wanted)} {action} and marked; the same again does the rest"
        raise KafkaAwayError(f"Kafka at {','.join(letters.servers)}: {told(error)}; {far}") from error
    finally:
        await close(producer)
        log.info("%d letters %s by %s: %s", done, action, by, why)
    return outcome


async def _step(producer: Any, action: Action, some: Sequence[Verdict], by: str, why: str) -> list[Verdict]:
    """Marks what Kafka has acknowledged, then raises the KafkaError of anything else."""
    errors = await _sent(producer, [_record(verdict) for verdict in some if action is Action.REPLAYED])
    errors = errors or [None] * len(some)
    taken = [verdict.letter for verdict, error in zip(some, errors, strict=True) if error is None]
    unmarked = await _sent(producer, [_mark(letter, action, by, why) for letter in taken])
    for error in [*errors, *unmarked]:
        if error is not None and not isinstance(error, MessageSizeTooLargeError):
            raise error
    return [
        verdict if error is None else verdict._replace(objection=f"Kafka does not take it: {error}")
        for verdict, error in zip(some, errors, strict=True)
    ]


def _record(verdict: Verdict) -> dict[str, Any]:
    """By its key it lies where any record of that key does; without one, where it lay."""
    content = verdict.letter.content
    return {
        "topic": content.topic,
        "partition": content.partition if content.key is None else None,
        "key": content.key,
        "value": verdict.value,
        "headers": [(ORIGIN, str(verdict.letter.id).encode())],
    }


def _mark(letter: Letter, action: Action, by: str, why: str) -> dict[str, Any]:
    mark = Handled(letter_ms=letter.written_ms, action=action, at_ms=int(time.time() * 1000), by=by, why=why)
    return {"topic": topics.HANDLED, "key": str(letter.id).encode(), "value": dead_letters.encode(mark)}


async def _sent(producer: Any, records: Sequence[dict[str, Any]]) -> list[BaseException | None]:
    """Returns when Kafka has said of each whether it has it; those of one key lie in this order."""
    answers: list[Awaitable[Any]] = []
    for record in records:
        try:
            answers.append(await producer.send(**record))
        except KafkaError as error:  # the client itself finds it too large
            answers.append(_raising(error))
    said = await asyncio.gather(*answers, return_exceptions=True)
    return [one if isinstance(one, BaseException) else None for one in said]


async def _raising(error: Exception) -> None:
    raise error


def _is_update(verdict: Verdict) -> bool:
    if verdict.objection or verdict.value is None or verdict.letter.content.topic != topics.METRICS:
        return False
    try:
        return bool(metrics.decode(verdict.value).points)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class _Since(NamedTuple):
    """What `metrics` says behind some letters' records."""

    begins: dict[int, int]  # partition → first offset that is still there
    last: dict[tuple[str, str, int], int]  # scope, field and window → offset of the newest value

    def judge(self, verdict: Verdict, *, force: bool) -> Verdict:
        """InfluxDB keeps what is written last: an old value sent again must not come behind a newer one."""
        content = verdict.letter.content
        update = metrics.decode(verdict.value or b"")
        points = [
            point
            for point in update.points
            if self.last.get((update.scope, point.field, point.start_ms), -1) <= content.offset
        ]
        if not points:
            return verdict._replace(objection="newer values of all of its windows were told since")
        if self.begins.get(content.partition, 0) > content.offset + 1 and not force:
            return verdict._replace(objection="what was told since is no longer all there: a newer value may be lost")
        if len(points) == len(update.points):
            return verdict
        note = f"{len(points)} of its {len(update.points)} values; newer ones of the others were told since"
        value = metrics.encode(ScopeUpdate(scope=update.scope, points=points))
        return verdict._replace(note=note, value=value)


async def _since(letters: Letters, parked: Sequence[DeadLetter]) -> _Since:
    """One reading of their partitions, from the first of them to the end. Raises KafkaAwayError, NotAllReadError."""
    last: dict[tuple[str, str, int], int] = {}
    tally = Tally(letters.progress)
    async with reading(letters.servers, letters.timeout_s, [topics.METRICS]) as there:
        begins = await there.starts(topics.METRICS)
        starts: dict[TopicPartition, int] = {}
        for one in parked:
            tp = TopicPartition(topics.METRICS, one.partition)
            if tp not in begins:  # said by whoever wrote the letter
                continue
            starts[tp] = max(begins[tp], min(one.offset + 1, starts.get(tp, one.offset + 1)))
        keys = {one.key for one in parked}
        async for record in there.records(starts, tally):
            if record.key not in keys:
                continue
            try:
                update = metrics.decode(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            last |= {(update.scope, point.field, point.start_ms): record.offset for point in update.points}
    if not tally.complete:
        raise NotAllReadError(
            f"{topics.METRICS}: read {tally.read:,} of {tally.total:,} records told since, in {letters.timeout_s:g} s: "
            "give it more time"
        )
    return _Since({tp.partition: begin for tp, begin in begins.items()}, last)
