"""What the agents tell and commit, and what a kill between the two leaves: on their real tables, without a broker.

A commit is all or nothing (tests/integration/test_batching.py), so a life begins with the tables as committed last, and
reads again what was acknowledged since.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import pytest
import structlog
from classroom import NOON_MS, event, records, some_events
from collecting import collecting
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from batching import Batch, Limits
from batching.shard import Shard
from pipelines.aggregate.agents import NEW_MAX
from pipelines.aggregate.folding import COSTLY_S, Folding
from pipelines.aggregate.merging import Merging
from pipelines.outlet import Outgoing, Outlet
from pipelines.records import Message, Record
from pipelines.settings import AggregateSettings
from pipelines.worker import App, Worker, create_app
from traces.context import HEADER, Context, headers, of_record
from traces.tracer import Tracer
from wire import dead_letters, events, metrics, partials, topics
from wire.dead_letters import Reason
from wire.events import Kind
from wire.metrics import MetricPoint
from wire.partials import Partial, Progress

PARTITION = 3
SETTINGS = AggregateSettings()


class Unanswered:
    """Stands where the outlet does: what it is given is acknowledged when the test says so."""

    def __init__(self) -> None:
        self.told: list[Outgoing] = []
        self.put = self.told.append
        self.bytes = 0
        self._asked, self._acknowledges = asyncio.Event(), asyncio.Event()

    async def parcel(self) -> "Unanswered":
        self._asked.set()
        return self

    async def delivered(self) -> None:
        await self._acknowledges.wait()

    async def holds_up(self, work: Coroutine[Any, Any, None]) -> None:
        """Fails where the work does not wait for it."""
        tasks = working, _ = asyncio.create_task(work), asyncio.create_task(self._asked.wait())
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert not working.done()
        self._acknowledges.set()
        await working


class Life:
    """One process, from its restored tables to its end."""

    def __init__(
        self,
        committed: dict[str, dict[bytes, bytes]],
        wall_ms: list[int],
        costly_s: float = COSTLY_S,
        outlet: Any = None,
    ) -> None:
        self.app: App = create_app("aggregate", SETTINGS)
        self.app.batch_topic(topics.ACTIVITY)
        self.app.batch_topic(topics.PARTIALS)
        self.app.batch_topic(topics.AUDIT)
        worker = Worker(self.app, SETTINGS)
        outlet = outlet or Outlet(lambda: pytest.fail("no broker here"), ())
        self.folding = Folding(worker, SETTINGS, outlet, lambda: wall_ms[0], costly_s)
        self.merging = Merging(worker, SETTINGS, outlet, lambda: wall_ms[0])
        self.committed = committed
        self.shard = self.app.delivery.shards[PARTITION] = Shard(PARTITION, self.app.batch_topics, Limits())
        for table in self.app.write_behind:
            table.reset(PARTITION)
            held = committed.setdefault(table.name, {})
            changelog: list[Any] = [Message(0, 0, key, value) for key, value in held.items()]
            table.restore(PARTITION, changelog)
        self.folding.restore(PARTITION)
        self.merging.restore(PARTITION)

    async def fold(self, read: Sequence[Record], end: int = 0) -> None:
        self.shard.highwater[topics.ACTIVITY] = end or read[-1].offset + 1
        await self.folding.run(self._batches(topics.ACTIVITY, read))

    async def merge(self, read: Sequence[Record], end: int) -> None:
        self.shard.highwater[topics.PARTIALS] = end
        await self.merging.run(self._batches(topics.PARTIALS, read))

    async def _batches(self, topic: str, read: Sequence[Any]) -> AsyncIterator[Batch]:
        yield Batch(TP(topic, PARTITION), read, read[-1].offset + 1, 0)

    def tick(self) -> list[Outgoing]:
        """What the publisher would tell now."""
        return [
            record
            for source in (self.folding, self.merging)
            if PARTITION in source.dirty
            for record in source.collect(PARTITION)
        ]

    def before_commit(self) -> list[Outgoing]:
        """What is told for it. The commit itself may come, or not."""
        self.folding.advance(PARTITION)
        self.merging.advance(PARTITION)
        told = self.tick()
        self.folding.store(PARTITION)
        self.merging.store(PARTITION)
        return told

    def commit(self) -> None:
        for table in self.app.write_behind:
            for key, value in table.changes(PARTITION):
                if value is None:
                    self.committed[table.name].pop(key, None)
                else:
                    self.committed[table.name][key] = value


class Surprising:
    """Stands for whatever our code does not expect of a record: it cannot be read with the others, nor with its half of
    them, nor alone."""

    def __init__(self, message: Message) -> None:
        self.offset, self._timestamp, self.key, self.value, self.headers = message
        self._times = 3

    @property
    def timestamp(self) -> int:
        if self._times:
            self._times -= 1
            raise RuntimeError("our bug")
        return self._timestamp


def values(told: list[Outgoing], topic: str) -> list[bytes]:
    return [record.value or b"" for record in told if record.topic == topic]


def told_of(told: list[Outgoing]) -> set[str]:
    return {metrics.decode(value).scope for value in values(told, topics.METRICS)}


async def test_what_cannot_be_folded_is_told_and_the_rest_counts() -> None:
    life = Life({}, [NOON_MS])
    log = records([event("s1", 0), event("s2", 1, Kind.HELP_REQUESTED), event("s3", 3 * 86_400), event("s2", 1)])
    await life.fold([log[0], Surprising(log[1]), *log[2:]])
    told = life.tick()
    letters = [dead_letters.decode(value) for value in values(told, topics.DEAD_LETTERS)]
    assert [(letter.offset, letter.key, letter.value, letter.reason) for letter in letters] == [
        (1, b"s2", log[1].value, Reason.FAILED)
    ]
    assert [events.decode(value).student_id for value in values(told, topics.LATE)] == ["s2"]
    *said, progress = [partials.decode(value) for value in values(told, topics.PARTIALS)]
    assert {partial.scope for partial in said if isinstance(partial, Partial)} == {"course:py101", "school:all"}
    assert progress == Progress(partition=PARTITION, offset=3, event_time_ms=NOON_MS + 3 * 86_400_000)
    assert told_of(told) == {"student:s1", "student:s3"}
    assert life.tick() == []


def traced(message: Message, span: str) -> Message:
    return message._replace(headers=headers([Context("a" * 32, span * 16, sampled=True)]))


async def test_without_a_collector_nothing_is_told_of_traces() -> None:
    life = Life({}, [NOON_MS])
    await life.fold([traced(one, "1") for one in records([event("s1", 0), event("s2", 1)])])
    told = life.tick()
    assert told
    assert all(record.headers == [] for record in told)


async def test_a_traced_event_goes_on_with_what_it_has_changed() -> None:
    """Two of one course, and a third that is late: the course's record comes of both, a student's of his own."""
    with collecting() as collector:
        life = Life({}, [NOON_MS])
        life.folding._worker.traces = tracer = Tracer(collector.url, "classpulse-aggregate")
        happened = [event("s1", 5 * 3600), event("s2", 5 * 3600), event("s3", 5 * 3600), event("s4", 0)]
        one, other, untraced, late = records(happened)
        bad = untraced._replace(headers=[(HEADER, b"nonsense"), (HEADER, None)])
        await life.fold([traced(one, "1"), traced(other, "2"), bad, traced(late, "3")])
        told = life.tick()
        partial = next(record for record in told if record.key == b"course:py101")
        await life.merge([Message(0, NOON_MS, partial.key, partial.value, partial.headers)], 1)
        assert all(record.headers == [] for record in life.tick() if record.key != b"course:py101")
        await tracer.close()
    *folded, merged = collector.spans
    of = {span.parent_id[0]: Context(span.trace_id, span.span_id, sampled=True) for span in folded}
    assert {span.name for span in folded} == {"process activity"}
    by_key = {record.key: of_record(record.headers) for record in told if record.topic != topics.LATE}
    assert by_key[b"student:s1"] == (of["1"],)
    assert by_key[b"student:s2"] == (of["2"],)
    assert by_key[b"course:py101"] == by_key[b"school:all"] == (of["1"], of["2"])
    assert by_key[b"student:s3"] == ()
    assert (merged.name, merged.parent_id) == ("process partials", of["2"].span_id)
    assert merged.links == [(of["1"].trace_id, of["1"].span_id)]
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_partial_that_cannot_be_read_is_told_and_the_rest_counts() -> None:
    life = Life({}, [NOON_MS])
    panes = {NOON_MS // 10_000: partials.PaneCounts(1)}
    good = partials.encode(Partial(scope="course:c1", partition=0, offset=1, event_time_ms=NOON_MS, panes=panes))
    await life.merge([Message(0, NOON_MS, b"k", b"{"), Message(1, NOON_MS, b"k", good), Message(2, 0, b"k", None)], 3)
    told = life.tick()
    letters = [dead_letters.decode(value) for value in values(told, topics.DEAD_LETTERS)]
    assert [(letter.offset, letter.reason) for letter in letters] == [(0, Reason.NOT_JSON), (2, Reason.NOT_JSON)]
    assert told_of(told) == {"course:c1"}


async def test_a_student_of_whom_nothing_is_left_leaves_the_table() -> None:
    life = Life({}, [NOON_MS])
    log = records([event("s1", 0), event("s2", 3 * 86_400), event("s2", 6 * 86_400)])
    for one in log:
        await life.fold([one])
        life.before_commit()
        life.commit()
    assert set(life.committed["students"]) == {b"s2"}


@given(st.randoms(use_true_random=False), st.lists(st.sampled_from([0, 1_000, 4_000, 30_000]), min_size=1, max_size=25))
async def test_told_time_and_values_never_go_back_over_quiet_times_and_kills(
    rng: random.Random, steps: list[int]
) -> None:
    """Of every window the newest told is the newest there is, wherever a life ends between telling and committing."""
    wall_ms = [NOON_MS]
    source = Life({}, wall_ms)  # whose partials are read
    happened = iter(records(some_events(rng, len(steps) + 1, span_s=3_000)))
    log: list[Message] = []
    read = position = 0  # of the life; as committed
    committed: dict[str, dict[bytes, bytes]] = {}
    life = Life(committed, wall_ms)
    newest: dict[tuple[str, str, int], MetricPoint] = {}

    def note(told: list[Outgoing]) -> None:
        for update in (metrics.decode(value) for value in values(told, topics.METRICS)):
            for point in update.points:
                before = newest.get((update.scope, point.field, point.start_ms))
                assert before is None or before.as_of_ms <= point.as_of_ms
                if before is not None and point.metric is metrics.Metric.EVENTS_PER_MINUTE:
                    assert before.value <= point.value
                newest[update.scope, point.field, point.start_ms] = point

    for step in steps:
        wall_ms[0] += step
        if rng.random() < 0.6:
            await source.fold([next(happened)])
            log += [Message(len(log), wall_ms[0], b"k", value) for value in values(source.tick(), topics.PARTIALS)]
        if read < len(log):
            await life.merge([one._replace(offset=read + i) for i, one in enumerate(log[read:])], len(log))
            read = len(log)
        note(life.tick())
        match rng.choice(["tick", "commit", "kill", "kill within"]):
            case "commit":
                note(life.before_commit())
                life.commit()
                position = read
            case "kill within":
                note(life.before_commit())
                if log:  # said again while the commit is under way, and told
                    await life.merge([log[-1]._replace(offset=read)], len(log))
                    note(life.tick())
                life, read = Life(committed, wall_ms), position
            case "kill":
                wall_ms[0] += rng.choice([0, 60_000])
                life, read = Life(committed, wall_ms), position


async def test_after_a_restart_nothing_is_told_before_all_is_read_that_was_told_before() -> None:
    source, life = Life({}, [NOON_MS]), Life({}, [NOON_MS])
    await source.fold(records(some_events(random.Random(1), 50)))
    log = [Message(offset, NOON_MS, b"k", value) for offset, value in enumerate(values(source.tick(), topics.PARTIALS))]
    half = len(log) // 2
    await life.merge(log[:half], end=len(log))
    assert values(life.tick(), topics.METRICS) == []
    await life.merge(log[half:], end=len(log))
    assert values(life.tick(), topics.METRICS) != []


async def test_but_a_commit_does_not_wait_for_the_end_of_a_backlog() -> None:
    source, life = Life({}, [NOON_MS]), Life({}, [NOON_MS])
    await source.fold(records(some_events(random.Random(1), 50)))
    log = [Message(offset, NOON_MS, b"k", value) for offset, value in enumerate(values(source.tick(), topics.PARTIALS))]
    await life.merge(log[:1], end=len(log))
    assert values(life.before_commit(), topics.METRICS) != []


async def test_of_history_no_more_is_taken_in_than_can_be_told_before_a_commit() -> None:
    """Years of it are read in seconds, and every minute of a student and every pane of a scope makes a dozen values."""
    log = records([event("s1", 60 * minute) for minute in range(NEW_MAX + 1)])
    source, life = Life({}, [NOON_MS]), Life({}, [NOON_MS], outlet=(outlet := Unanswered()))
    await life.fold(log[:NEW_MAX])
    await outlet.holds_up(life.fold([log[NEW_MAX]]))
    assert told_of(outlet.told) == {"student:s1"}
    assert life.tick() == []

    dense = records([event("s1", 10 * pane) for pane in range(NEW_MAX + 1)])
    async with asyncio.timeout(60):  # of a student's minute all is told at once, so that nothing waits
        await Life({}, [NOON_MS], outlet=Unanswered()).fold(dense)

    await source.fold(log[:NEW_MAX])
    said = values(source.tick(), topics.PARTIALS)
    both = [Message(offset, NOON_MS, b"k", value) for offset, value in enumerate(said)]
    half = len(both) // 2  # one scope; the other is the school, or the course
    life = Life({}, [NOON_MS], outlet=(outlet := Unanswered()))
    await life.merge(both[:half], len(both))
    await outlet.holds_up(life.merge(both[half:], len(both)))
    assert told_of(outlet.told) == {"course:py101", "school:all"}


async def test_under_load_who_was_quiet_is_told_of_at_once_and_the_others_with_the_commit() -> None:
    wall_ms = [NOON_MS]
    life = Life({}, wall_ms, costly_s=-1)
    log = records([event("busy", 0), event("busy", 1), event("quiet", 2), event("busy", 3)])
    await life.fold(log[:1])
    assert told_of(life.tick()) == {"student:busy"}
    wall_ms[0] += 100
    await life.fold(log[1:3])
    told = life.tick()
    assert (told_of(told), values(told, topics.PARTIALS)) == ({"student:quiet"}, [])
    assert life.tick() == [], "the rest waits"
    told = life.before_commit()
    assert told_of(told) == {"student:busy", "student:quiet"}
    counts = [partials.decode(value) for value in values(told, topics.PARTIALS)]
    assert {pane.events for said in counts if isinstance(said, Partial) for pane in said.panes.values()} == {3}
    wall_ms[0] += 2_000
    await life.fold(log[3:])
    assert told_of(life.tick()) == {"student:busy"}, "and all of it after a while"
