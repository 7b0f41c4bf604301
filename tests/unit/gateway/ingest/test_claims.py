"""What a door has accepted is claimed once, in bounded memory, whatever Kafka does. Its client library's producer is
stood in for: no broker fails at such moments when told to."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError
from hypothesis import given
from hypothesis import strategies as st
from running import eventually

from gateway.ingest import claims
from gateway.ingest.claims import Claims, Untold
from wire import audit
from wire.audit import Claimed, Runs

Offsets = Counter[tuple[int, int]]


class Acknowledged(NamedTuple):
    partition: int
    offset: int


def note(whom: Untold | Claims, acknowledged: Sequence[Acknowledged]) -> None:
    for partition, offset in acknowledged:
        whom.note(partition, offset, offset)


def offsets_of(untold: dict[int, Runs]) -> Offsets:
    return Counter(
        (p, offset) for p, runs in untold.items() for first, last in runs for offset in range(first, last + 1)
    )


@given(
    offsets=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 50))),
    order=st.randoms(),
    shares=st.lists(st.floats(0, 1)),
)
def test_every_offset_is_taken_once_however_requests_overlap_and_whatever_is_given_back(
    offsets: set[tuple[int, int]], order: Any, shares: list[float]
) -> None:
    waiting = [Acknowledged(*one) for one in sorted(offsets)]
    order.shuffle(waiting)
    untold, told = Untold(), Counter[tuple[int, int]]()
    for share in shares:
        many = round(share * len(waiting))
        note(untold, waiting[:many])
        del waiting[:many]
        taken = untold.take()
        said = {partition: runs.pop(0) for partition, runs in taken.items() if order.random() < 0.5}
        told += offsets_of({partition: [run] for partition, run in said.items()})
        note(untold, waiting[:3])  # meanwhile
        del waiting[:3]
        untold.give_back({partition: runs for partition, runs in taken.items() if runs})
    note(untold, waiting)
    assert told + offsets_of(untold.take()) == Counter(dict.fromkeys(offsets, 1))
    assert untold.take() == {}
    assert untold.forgotten == 0


def test_what_cannot_be_told_is_kept_in_bounded_memory_and_the_rest_forgotten() -> None:
    untold = Untold()
    one_door = [Acknowledged(0, offset) for offset in range(100_000)]
    note(untold, one_door)
    among_others = [Acknowledged(1, offset) for offset in range(0, 4 * claims.RUNS_MAX, 2)]
    note(untold, among_others)
    taken = untold.take()
    assert taken[0] == [(0, len(one_door) - 1)]
    assert len(taken[1]) == claims.RUNS_MAX
    assert taken[1][-1] == (among_others[-1].offset,) * 2
    assert untold.forgotten == len(among_others) - claims.RUNS_MAX


class Producer:
    """Acknowledges everything at once."""

    def __init__(self, said: list[Claimed]) -> None:
        self._said = said
        self.trouble = True  # once, for those below

    async def start(self) -> None:
        """Connected."""

    async def stop(self) -> None:
        """Nothing is under way."""

    async def partitions_for(self, _: str) -> set[int]:
        return {0, 1}

    async def send(self, _: str, value: bytes, *, partition: int) -> "asyncio.Future[None]":
        said = audit.decode(value)
        assert isinstance(said, Claimed)
        assert said.partition == partition
        self._said.append(said)
        return self.answer(asyncio.get_running_loop().create_future())

    def answer(self, future: "asyncio.Future[None]") -> "asyncio.Future[None]":
        future.set_result(None)
        return future

    def once(self) -> bool:
        trouble, self.trouble = self.trouble, False
        return trouble


class Absent(Producer):
    async def start(self) -> None:
        raise KafkaConnectionError


class Topicless(Producer):
    async def partitions_for(self, topic: str) -> set[int]:
        if self.once():
            raise UnknownTopicOrPartitionError
        return await super().partitions_for(topic)


class OfOnePartition(Producer):
    async def partitions_for(self, topic: str) -> set[int]:
        return {0} if self.once() else await super().partitions_for(topic)


class Full(Producer):
    async def send(self, topic: str, value: bytes, *, partition: int) -> "asyncio.Future[None]":
        if self._said and self.once():
            raise KafkaTimeoutError
        return await super().send(topic, value, partition=partition)


class Broken(Producer):
    async def start(self) -> None:
        raise ZeroDivisionError


class Failing(Producer):
    """Takes a record, and fails with it: it may have arrived, or not."""

    def answer(self, future: "asyncio.Future[None]") -> "asyncio.Future[None]":
        future.set_exception(KafkaError("out of order"))
        return future


class Standing(Claims):
    def __init__(self, *producers: Callable[[list[Claimed]], Producer]) -> None:
        super().__init__("nowhere:9092", lambda: 1)
        self.said: list[Claimed] = []
        self._producers = list(producers)

    def _new(self) -> Any:
        return (self._producers.pop(0) if self._producers else Producer)(self.said)

    async def claimed(self, number: int) -> Offsets:
        """Returns when so many offsets have been."""

        async def enough() -> bool:
            return sum(audit.number(said.runs) for said in self.said) >= number

        await eventually(enough, 30, f"{number} offsets are claimed")
        return sum((offsets_of({said.partition: said.runs}) for said in self.said), Counter[tuple[int, int]]())


ACCEPTED = [Acknowledged(0, 7), Acknowledged(1, 3), Acknowledged(0, 6), Acknowledged(1, 5)]
LATER = [Acknowledged(0, 8), Acknowledged(1, 4)]


async def test_what_could_not_be_sent_is_told_later_and_once() -> None:
    async def after(trouble: type[Producer]) -> None:
        door = Standing(trouble)
        await door.start()
        note(door, ACCEPTED)
        await door.claimed(len(ACCEPTED))
        note(door, LATER)
        await door.stop()
        assert await door.claimed(0) == Counter([*ACCEPTED, *LATER]), trouble
        assert len({said.door for said in door.said}) == 1

    await asyncio.gather(*map(after, (Producer, Absent, Topicless, OfOnePartition, Full, Broken)))


async def test_what_may_have_arrived_is_not_said_twice() -> None:
    door = Standing(Failing)
    await door.start()
    note(door, ACCEPTED)
    await door.claimed(len(ACCEPTED))
    note(door, LATER)
    assert await door.claimed(len(ACCEPTED) + len(LATER)) == Counter([*ACCEPTED, *LATER])
    await door.stop()


async def test_a_stop_without_kafka_says_how_many_events_nobody_will_claim() -> None:
    door = Standing(Absent)
    note(door, ACCEPTED)
    with structlog.testing.capture_logs() as lines:
        await door.stop()
    assert lines[-1]["events"] == len(ACCEPTED)
