"""The offsets that doors claim in the topic `audit`: each one that an accepted event lies at, once, and no other."""

import asyncio

import served
from doors import AtTheDoor, at_the_door, make_topics, placed_by_anybody
from running import eventually

from stack.kafka import Kafka
from wire import topics

STUDENTS = 24  # of all partitions


async def posted(door: AtTheDoor, times: int) -> None:
    for _ in range(times):
        batch = [door.event(student_id=f"p{student}") for student in range(STUDENTS)]
        assert (await door.post(batch)).status_code == 202


async def all_claimed(door: AtTheDoor) -> None:
    """Returns when each accepted event is, by a door that goes on."""
    mine = {place for _, place in await door.placed()}

    async def claimed() -> bool:
        return mine <= (await door.claimed()).keys()

    await eventually(claimed, 30, "what was accepted is claimed")


async def test_two_doors_under_load_claim_every_offset_once(module_kafka: Kafka, postgres_url: str) -> None:
    await make_topics(module_kafka.address)
    async with at_the_door(module_kafka.address, postgres_url) as door:
        await door.opened()
        async with served.gateway(served.settings(kafka=module_kafka.address, postgres_url=postgres_url)) as client:
            second = AtTheDoor(client, module_kafka.address, postgres_url, door.key, door.course)
            await second.opened()
            await asyncio.gather(*(posted(at, 5) for at in (door, second) for _ in range(4)))
        await all_claimed(door)
        await posted(door, 1)
    mine = {place for _, place in await door.placed()}
    assert len(mine) == 41 * STUDENTS + 2
    claimed = await door.claimed()
    assert {place: claimed[place] for place in mine} == dict.fromkeys(mine, 1)
    assert claimed.keys() <= await placed_by_anybody(module_kafka.address)


async def test_a_door_without_the_topic_is_open_and_claims_when_it_is_there(
    own_kafka: Kafka, postgres_url: str
) -> None:
    others = {name: topic for name, topic in topics.load().items() if name != topics.AUDIT}
    await make_topics(own_kafka.address, others)
    async with at_the_door(own_kafka.address, postgres_url) as door:
        await door.opened()
        await posted(door, 20)
        await make_topics(own_kafka.address)
        await all_claimed(door)
    mine = {place for _, place in await door.placed()}
    assert await door.claimed() == dict.fromkeys(mine, 1)
