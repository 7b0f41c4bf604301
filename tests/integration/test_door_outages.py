"""POST /api/v1/events while Kafka or PostgreSQL is away: 503 in time, nothing acknowledged lost or unclaimed, and open
again."""

import asyncio
import os
import signal
import uuid
from pathlib import Path

import psutil
import pytest
import served
from doors import AtTheDoor, at_the_door, make_topics, problem
from running import PATIENCE, eventually

from stack.kafka import Kafka
from stack.postgres import Postgres

ANSWER_S = 5.0  # the door's promise: never a hang


class Load:
    """Producers who post events one after another, each with its id, and keep what was accepted."""

    def __init__(self, door: AtTheDoor) -> None:
        self._door = door
        self.accepted: list[str] = []
        self._refused = 0
        self._going = True

    async def post_on(self, student: int) -> None:
        while self._going:
            batch = [self._door.event(student_id=f"p{student}", event_id=str(uuid.uuid4())) for _ in range(5)]
            async with asyncio.timeout(ANSWER_S * PATIENCE):
                response = await self._door.post(batch)
            if response.status_code == 202:
                self.accepted += [result["event_id"] for result in response.json()["results"]]
            else:
                body = problem(response, 503)
                assert "send the same again" in body["detail"]
                sent = [(index, event["event_id"], "retry") for index, event in enumerate(batch)]
                assert [(r["index"], r["event_id"], r["result"]) for r in body["results"]] == sent
                assert int(response.headers["retry-after"]) > 0
                self._refused += 1
                await asyncio.sleep(0.05)

    def end(self) -> None:
        self._going = False

    async def more_accepted(self) -> None:
        """Returns when another hundred events have been."""
        goal = len(self.accepted) + 100

        async def enough() -> bool:
            return len(self.accepted) >= goal

        await eventually(enough, 30, "events are accepted")

    async def some_refused(self) -> None:
        async def refused() -> bool:
            return self._refused > 0

        await eventually(refused, 30, "events are refused")


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_nothing_acknowledged_is_missing_after_kafka_was_away_under_load(
    own_kafka: Kafka, postgres_url: str, how: str
) -> None:
    await make_topics(own_kafka.address)
    async with at_the_door(own_kafka.address, postgres_url, rate_limit_events="1000000/minute") as door:
        await door.opened()
        load = Load(door)
        async with asyncio.TaskGroup() as producers:
            for student in range(4):
                producers.create_task(load.post_on(student))
            await load.more_accepted()
            if how == "killed":
                own_kafka.kill()
                await load.some_refused()
                await asyncio.to_thread(own_kafka.start)
            else:
                assert own_kafka.pid is not None
                os.kill(own_kafka.pid, signal.SIGSTOP)
                await load.some_refused()
                await refused(door, "earlier events")  # nothing piles up behind what is under way
                os.kill(own_kafka.pid, signal.SIGCONT)
            await load.more_accepted()
            load.end()
    found = await door.placed()
    placed = {event.event_id: place for event, place in found}
    assert set(load.accepted) <= placed.keys()
    assert len(placed) == len(found)  # what the client library sent again is there once
    claimed = await door.claimed()
    assert {placed[event_id] for event_id in load.accepted} <= claimed.keys() <= set(placed.values())
    assert set(claimed.values()) == {1}


@pytest.mark.parametrize("accepts", [True, False])
async def test_what_is_spooled_while_kafka_is_away_goes_in_whole_and_in_order(
    own_kafka: Kafka, postgres_url: str, tmp_path: Path, accepts: bool
) -> None:
    await make_topics(own_kafka.address)
    spooling = {"spool_folder": str(tmp_path / "spool"), "spool_accepts": accepts}
    async with at_the_door(own_kafka.address, postgres_url, **spooling) as door:
        await door.opened()
        own_kafka.kill()
        for number in range(20):
            body = door.event(event_id=str(uuid.uuid4()), task_id=str(number))
            for _ in range(2):  # as who was told to does
                response = await door.post(body)
                if accepts:
                    assert response.status_code == 202
                else:
                    assert "kept on the disk" in problem(response, 503)["detail"]
        await asyncio.to_thread(own_kafka.start)

        async def sent() -> bool:
            return [event.task_id for event in await door.published() if event.task_id][-1:] == ["19"]

        await eventually(sent, 60, "what was spooled is in Kafka")
        order = [event.task_id for event in await door.published() if event.task_id]
        # One that was under way when Kafka went, or came back, may be there once more under its id.
        assert list(dict.fromkeys(order)) == [str(number) for number in range(20)], order
        await door.opened()
    claimed = await door.claimed()
    assert {place for _, place in await door.placed()} == claimed.keys()
    assert set(claimed.values()) == {1}


async def test_a_door_that_opens_before_kafka_says_503_until_it_is_there(own_kafka: Kafka, postgres_url: str) -> None:
    await make_topics(own_kafka.address)
    await asyncio.to_thread(own_kafka.stop)
    async with at_the_door(own_kafka.address, postgres_url) as door:
        await refused(door, "Kafka is not connected")
        good, bad = problem(await door.post([door.event(), door.event(kind="dancing")]), 503)["results"]
        assert (good["result"], bad["result"], bad["field"]) == ("retry", "rejected", "kind")
        await asyncio.to_thread(own_kafka.start)
        await door.opened()
        # Under the id it was given then, it counts once, however often it arrived.
        again = await door.post(door.event(event_id=good["event_id"]))
        assert again.json()["results"][0]["event_id"] == good["event_id"]


async def test_a_door_without_its_topic_says_503_until_it_is_there(own_kafka: Kafka, postgres_url: str) -> None:
    async with at_the_door(own_kafka.address, postgres_url) as door:
        await refused(door, "Kafka")
        await make_topics(own_kafka.address)
        await door.opened()


async def test_a_gateway_stops_in_time_with_kafka_away(own_kafka: Kafka, postgres_url: str) -> None:
    await make_topics(own_kafka.address)
    async with asyncio.timeout(60 * PATIENCE):
        async with at_the_door(own_kafka.address, postgres_url) as door:
            await door.opened()
            own_kafka.kill()
            await refused(door, "Kafka has not acknowledged")


async def test_postgresql_away_shuts_the_door_to_strangers_only(own_kafka: Kafka, own_postgres: Postgres) -> None:
    await make_topics(own_kafka.address)
    async with at_the_door(own_kafka.address, own_postgres.url) as door:
        await door.opened()
        own_postgres.kill()
        known = await door.post(door.event())
        assert known.json()["results"][0]["on_roster"]

        # A gateway that starts meanwhile knows nobody yet, and finds out by itself when it can.
        async with served.gateway(served.settings(kafka=own_kafka.address, postgres_url=own_postgres.url)) as client:
            second = AtTheDoor(client, own_kafka.address, own_postgres.url, door.key, door.course)
            await refused(second, "nothing was accepted")
            door.key = "cp_unknown"
            await refused(door, "PostgreSQL")
            await asyncio.to_thread(own_postgres.start)
            await second.opened()
        problem(await door.post(door.event()), 401)


async def test_postgresql_frozen_makes_nobody_wait_for_ever(own_kafka: Kafka, own_postgres: Postgres) -> None:
    await make_topics(own_kafka.address)
    async with at_the_door(own_kafka.address, own_postgres.url) as door:
        await door.opened()
        parent = psutil.Process(own_postgres.pid)
        everyone = [parent, *parent.children(recursive=True)]
        try:
            for process in everyone:
                process.suspend()
            async with asyncio.timeout(ANSWER_S * PATIENCE):
                assert (await door.post(door.event())).status_code == 202
            door.key = "cp_unknown"
            await refused(door, "no answer within")
        finally:
            for process in everyone:
                process.resume()

        async def unknown() -> bool:
            return (await door.post(door.event())).status_code == 401

        await eventually(unknown, 30, "PostgreSQL is asked again")


async def refused(door: AtTheDoor, why: str) -> None:
    """Returns when the door says why it is shut. Until then it has another reason to be, never a hang."""

    async def said() -> bool:
        async with asyncio.timeout(ANSWER_S * PATIENCE):
            response = await door.post(door.event())
        assert int(response.headers["retry-after"]) > 0
        return why in str(problem(response, 503)["detail"])

    await eventually(said, 30, f"the door is shut: {why}")
