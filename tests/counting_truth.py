"""What the counting app ought to have counted, read from its topic by other means, beside what its changelog says."""

import json
from collections import Counter
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

WINDOW_MS = 1_000


class Follower:
    """Reads a topic from its beginning, committed records only; each time what has come since the last."""

    def __init__(self, kafka: str, topic: str, partitions: int) -> None:
        self._tps = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka, isolation_level="read_committed", max_partition_fetch_bytes=8_000_000
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._tps)
        await self._consumer.seek_to_beginning(*self._tps)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def news(self) -> list[Any]:
        """aiokafka's records, up to the end as it is now."""
        out: list[Any] = []
        ends = await self._consumer.end_offsets(self._tps)
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await self._consumer.getmany(timeout_ms=200)).values():
                out += records
        return out


async def committed_records(kafka: str, topic: str, partitions: int) -> list[Any]:
    async with Follower(kafka, topic, partitions) as follower:
        return await follower.news()


def window_of(key: bytes, timestamp_ms: int) -> bytes:
    return b"%s@%d" % (key, timestamp_ms // WINDOW_MS)


class Verdict(NamedTuple):
    windows: int = 0  # checked
    over: int = 0  # events counted too often, in all of them
    under: int = 0  # events not counted


class Truth:
    """Both sides, followed as they grow. Only to be compared when the app has committed the end of its topic."""

    def __init__(self, source: Follower, changelog: Follower) -> None:
        self._source = source
        self._changelog = changelog
        self.events: Counter[bytes] = Counter()
        self.counted: Counter[bytes] = Counter()

    async def verdict(self) -> Verdict:
        for record in await self._source.news():
            if (n := _count_in(record.value)) and record.key is not None:
                self.events[window_of(record.key, record.timestamp)] += n
        follow(self.counted, await self._changelog.news())
        windows = self.events.keys() | self.counted.keys()
        return Verdict(len(windows), (self.counted - self.events).total(), (self.events - self.counted).total())


def follow(counted: Counter[bytes], records: list[Any]) -> None:
    """Applies a stretch of the changelog, without what batching keeps there for itself."""
    for record in records:
        if not record.key.startswith(b"\x00"):
            counted[record.key] = int(record.value or 0)


def _count_in(value: bytes | None) -> int:
    """0 where it is not an event."""
    try:
        n = json.loads(value or b"")["n"]
    except (ValueError, KeyError, TypeError):
        return 0
    return n if type(n) is int else 0
