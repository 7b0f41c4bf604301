"""One look at all our groups: what Kafka and the workers say, put together as samples."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from redis.exceptions import RedisError

from gateway.lag.broker import Broker, Next, Topic
from gateway.lag.memory import Memory
from gateway.lag.samples import Sample, Worker
from gateway.lag.summary import Place
from gateway.workers import PIPELINES
from wire.workers import Heartbeat

BEATS_S = 1.5  # for the heartbeats
FRESH_S = 6.0  # a heartbeat older than that is of a worker that does not send them any more
WRITES_TO_REDIS = frozenset({"live"})  # where the heartbeats are too
SURVEY_S = 15.0  # between two looks at all topics: a new one, more partitions, other settings

Beats = Callable[[], Awaitable[Sequence[Heartbeat]]]


@dataclass(frozen=True)
class Extent:
    """What a topic holds."""

    topic: Topic
    firsts: Mapping[int, int]  # by partition; none while the topic has partitions without a leader
    ends: Mapping[int, int]
    rate_in: float | None  # records a second, since the look before; None: there was none


class Rounds:
    """`extents` are of the last survey."""

    def __init__(self, groups: Mapping[str, tuple[str, ...]], surveyed: Sequence[str], beats: Beats) -> None:
        """`groups`: each with its topics. `surveyed`: topics to look at beside those. `beats` may raise RedisError or
        OSError."""
        self._groups = groups
        self._topics = sorted({*surveyed, *(topic for topics in groups.values() for topic in topics)})
        self._beats = beats
        self._memory = Memory()
        self._due_s = 0.0
        self._surveyed_s = 0.0
        self._read: dict[Place, tuple[int, Next]] = {}  # an offset, and the first record there
        self._empty: dict[Place, tuple[int, int]] = {}  # a committed offset, and up to where nothing is behind it
        self._partitions: dict[str, list[TopicPartition]] = {}  # by group
        self.extents: dict[str, Extent] = {}

    @property
    def missing(self) -> set[str]:
        """Topics that the groups would read, and that Kafka does not have."""
        return {topic for topics in self._groups.values() for topic in topics} - self.extents.keys()

    @property
    def retention_s(self) -> dict[str, float | None]:
        return {name: extent.topic.retention_s for name, extent in self.extents.items()}

    def begin(self) -> None:
        """With another broker: its topics are looked at first."""
        self._due_s = 0.0

    async def samples(self, broker: Broker) -> dict[Place, Sample]:
        """Raises what `Broker` does."""
        if time.monotonic() >= self._due_s:
            await self._survey(broker)
            self._due_s = time.monotonic() + SURVEY_S
        asked = {tp for tps in self._partitions.values() for tp in tps}
        if not asked:
            return {}
        # Before the offsets, so that what is read and deleted meanwhile is not taken for lost.
        firsts = await broker.firsts(asked)
        members, committed = {}, {}
        for group, tps in self._partitions.items():
            if tps:
                members[group] = await broker.members(group)
                committed[group] = await broker.committed(group, tps)
        ends = await broker.ends(asked)
        beats, deaf = await self._heard()
        # Where the next record of each is to be looked for.
        stands = {
            Place(group, *tp): max(firsts[tp], offset or 0)
            for group in committed
            for tp, offset in committed[group].items()
        }
        await self._look_up(broker, stands, ends)
        now_s, now_ms = time.monotonic(), time.time() * 1000
        if not deaf:
            self._memory.note(beats, now_ms)
        died_s = {
            group: tuple(now_s - died_ms / 1000 for died_ms in self._memory.died_ms(group, now_ms, FRESH_S))
            for group in committed
        }
        found = {}
        for place in stands:
            tp = TopicPartition(place.topic, place.partition)
            offset = committed[place.group][tp]
            position, age_s = self._stands(place, offset, firsts[tp], ends[tp], now_ms)
            ours = [beat for beat in beats if beat.app == place.group]
            fresh = sum(now_ms - beat.sent_at_ms < FRESH_S * 1000 for beat in ours)
            of_group = members[place.group]
            owner = of_group.owners.get(tp, "")
            worker = _worker(place, ours, now_ms)
            if worker is None and owner and not deaf:
                worker = _worker(place, self._memory.silent(place.group), now_ms)
            found[place] = Sample(
                at_s=now_s,
                committed=offset,
                position=position,
                first=firsts[tp],
                end=ends[tp],
                read_age_s=age_s,
                owner=owner,
                phase=of_group.phase,
                worker=worker,
                died_s=died_s[place.group],
                gone=None if owner else self._memory.gone(place, now_ms),
                mute=0 if deaf or place.group not in PIPELINES else max(0, of_group.number - fresh),
                deaf=deaf,
                store_away=f"redis: {deaf}" if deaf and place.group in WRITES_TO_REDIS else "",
            )
        return found

    async def _look_up(self, broker: Broker, stands: Mapping[Place, int], ends: Mapping[TopicPartition, int]) -> None:
        """The first record behind each place, unless it is known, or nothing is there."""
        wanted = {}
        for place, offset in stands.items():
            tp = TopicPartition(place.topic, place.partition)
            at, found = self._read.get(place, (-1, None))
            known = (
                found is not None and at == offset and (found.timestamp_ms is not None or found.position == ends[tp])
            )
            if offset < ends[tp] and not known:
                wanted[place] = (tp, offset)
        if wanted:
            records = await broker.records(wanted.values(), ends)
            for place, asked in wanted.items():
                if asked in records:
                    self._read[place] = (asked[1], records[asked])

    def _stands(
        self, place: Place, committed: int | None, first: int, end: int, now_ms: float
    ) -> tuple[int, float | None]:
        """The offset of its first unread record, and how old that is, where it is known."""
        position = first if committed is None else committed
        at, found = self._read.get(place, (-1, None))
        age_s = None
        if found is not None and at == max(position, first) and found.timestamp_ms is not None:
            age_s = max(0.0, now_ms - found.timestamp_ms) / 1000
        if found is not None and at == position:
            self._empty[place] = (position, found.position)  # remembered also when all that is deleted
        at, empty_to = self._empty.get(place, (-1, 0))
        return max(position, min(empty_to, end)) if at == position else position, age_s

    async def _heard(self) -> tuple[Sequence[Heartbeat], str]:
        """The heartbeats, and why they cannot be read."""
        try:
            async with asyncio.timeout(BEATS_S):
                return await self._beats(), ""
        except (RedisError, OSError, TimeoutError) as error:
            return (), str(error) or f"no answer within {BEATS_S:g} s"

    async def _survey(self, broker: Broker) -> None:
        there = await broker.topics(self._topics)
        led = {
            name: [TopicPartition(name, number) for number in range(topic.partitions)]
            for name, topic in there.items()
            if not topic.leaderless
        }
        self._partitions = {
            group: [tp for name in names for tp in led.get(name, [])] for group, names in self._groups.items()
        }
        every = {tp for tps in led.values() for tp in tps}
        broker.watch(every)
        firsts, ends = (await broker.firsts(every), await broker.ends(every)) if every else ({}, {})
        now_s = time.monotonic()
        self.extents = {
            name: self._extent(topic, led.get(name, []), firsts, ends, self.extents.get(name), now_s - self._surveyed_s)
            for name, topic in there.items()
        }
        self._surveyed_s = now_s

    @staticmethod
    def _extent(
        topic: Topic,
        tps: Sequence[TopicPartition],
        firsts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        before: Extent | None,
        since_s: float,
    ) -> Extent:
        mine = {tp.partition: ends[tp] for tp in tps}
        came = None if before is None or not before.ends or not mine else sum(mine.values()) - sum(before.ends.values())
        rate_in = None if came is None or since_s <= 0 else max(0, came) / since_s
        return Extent(topic, {tp.partition: firsts[tp] for tp in tps}, mine, rate_in)


def _worker(place: Place, ours: Sequence[Heartbeat], now_ms: float) -> Worker | None:
    """Whose heartbeat says that he has it; else the only one, who may not have come so far."""
    holders = [beat for beat in ours if place.partition in beat.partitions.get(place.topic, ())]
    beat = max(holders or (ours if len(ours) == 1 else ()), key=lambda one: one.sent_at_ms, default=None)
    if beat is None:
        return None
    return Worker(
        worker_id=beat.worker_id,
        silent_s=max(0.0, now_ms - beat.sent_at_ms) / 1000,
        reason=beat.reason,
        held_by=beat.held_by,
        paused=beat.paused,
        progress_s=None if beat.last_progress_ms is None else max(0.0, now_ms - beat.last_progress_ms) / 1000,
    )
