"""The producers' side of the door, against a real HTTP server on loopback."""

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import structlog
from answering import AnsweringDoor, accepted, saying
from hypothesis import given
from hypothesis import strategies as st
from running import eventually

from producers.door import BATCH_BYTES, BATCH_EVENTS, Answer, Door, DoorAwayError, DoorClosedError, Rejected, batches

EVENTS: list[dict[str, Any]] = [{"student_id": f"s{number}", "event_id": str(uuid.uuid4())} for number in range(3)]


@pytest.fixture
async def stopping() -> AsyncIterator[list[AnsweringDoor]]:
    """Doors in here are stopped after the test."""
    doors: list[AnsweringDoor] = []
    yield doors
    for door in doors:
        await door.stop()


async def posted(
    stopping: list[AnsweringDoor], door: AnsweringDoor, events: list[dict[str, Any]], **patience: float
) -> Answer:
    url = await door.start()
    stopping.append(door)
    async with Door(url + "/", "the-key", **patience) as client:
        return await client.post(events)


@given(st.lists(st.integers(0, 3000), max_size=1200))
def test_batches_keep_within_the_doors_limits_and_lose_nothing(sizes: list[int]) -> None:
    events: list[dict[str, Any]] = [{"n": number, "text": "x" * size} for number, size in enumerate(sizes)]
    made = batches(events)
    assert [event["n"] for held, _ in made for event in held] == list(range(len(events)))
    for held, body in made:
        assert 1 <= len(held) <= BATCH_EVENTS
        assert len(body) <= BATCH_BYTES
        assert msgspec.json.decode(body) == held


def test_an_event_larger_than_a_batch_goes_alone() -> None:
    events: list[dict[str, Any]] = [{"n": 0}, {"n": 1, "text": "x" * BATCH_BYTES}, {"n": 2}]
    assert [[event["n"] for event in held] for held, _ in batches(events)] == [[0], [1], [2]]


def test_an_event_has_an_id_before_it_is_sent_and_keeps_one_it_has() -> None:
    ((held, body),) = batches([{"n": 0}, EVENTS[0]])
    assert uuid.UUID(held[0]["event_id"])
    assert held[1] == EVENTS[0]
    assert msgspec.json.decode(body) == held


async def test_all_accepted(stopping: list[AnsweringDoor]) -> None:
    door = AnsweringDoor()
    many = [{"n": number} for number in range(1234)]
    assert await posted(stopping, door, many) == Answer(accepted=1234)
    assert [len(batch) for batch in door.batches] == [500, 500, 234]
    assert [event["n"] for event in door.sent] == list(range(1234))
    assert door.headers[0]["Authorization"] == "Bearer the-key"
    assert door.headers[0]["Content-Type"] == "application/json"


async def test_nothing_to_send_asks_nobody() -> None:
    async with Door("http://127.0.0.1:9", "key") as client:
        assert await client.post([]) == Answer()


@pytest.mark.parametrize("rejected", [{1}, {0, 1, 2}], ids=["one", "all"])
async def test_rejections_come_with_the_event_the_field_and_the_reason(
    stopping: list[AnsweringDoor], rejected: set[int]
) -> None:
    door = AnsweringDoor(
        lambda events: accepted(events, rejected=dict.fromkeys(rejected, ("kind", "unknown")))
    )  # 202 with one of them, 422 with all
    answer = await posted(stopping, door, EVENTS)
    assert answer.accepted == 3 - len(rejected)
    assert answer.rejected == [Rejected(EVENTS[index], "kind", "unknown") for index in sorted(rejected)]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 408])
async def test_a_busy_door_is_asked_again_with_the_same_ids(stopping: list[AnsweringDoor], status: int) -> None:
    door = AnsweringDoor(saying(status), saying(status))
    assert (await posted(stopping, door, [{"n": 1}, {"n": 2}])).accepted == 2
    assert len(door.batches) == 3
    assert door.batches[0] == door.batches[1] == door.batches[2]


async def test_retry_after_is_waited_for(stopping: list[AnsweringDoor]) -> None:
    door = AnsweringDoor(saying(503, Retry_After="1"))
    began = time.monotonic()
    assert (await posted(stopping, door, EVENTS)).accepted == 3
    assert time.monotonic() - began >= 1


async def test_a_retry_after_that_is_no_number_of_seconds_is_passed_over(stopping: list[AnsweringDoor]) -> None:
    door = AnsweringDoor(saying(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"), saying(503, Retry_After="-5"))
    assert (await posted(stopping, door, EVENTS)).accepted == 3


async def test_an_answer_cut_off_is_asked_again(stopping: list[AnsweringDoor]) -> None:
    def cut(_: object) -> Any:
        raise ConnectionResetError  # the server closes the connection without an answer

    door = AnsweringDoor(cut)
    assert (await posted(stopping, door, EVENTS)).accepted == 3
    assert len(door.batches) == 2


async def test_refused_connections_are_tried_until_the_door_is_there(stopping: list[AnsweringDoor]) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    door = AnsweringDoor()
    with structlog.testing.capture_logs() as said:
        async with Door(f"http://127.0.0.1:{port}", "key") as client:
            posting = asyncio.create_task(client.post(EVENTS))

            async def tried() -> bool:
                return bool(said)

            await eventually(tried, 30, "it has tried, and says so")
            await door.start(port)
            stopping.append(door)
            assert (await posting).accepted == 3
    assert [line["event"] for line in said] == ["the door is busy or away; trying again"]  # once an outage


async def test_a_door_away_for_longer_than_told_to_wait_is_given_up(stopping: list[AnsweringDoor]) -> None:
    door = AnsweringDoor(*[saying(503, "Kafka is away")] * 50)
    with pytest.raises(DoorAwayError, match="Kafka is away"):
        await posted(stopping, door, EVENTS, patience_s=0.5)
    assert len(door.batches) > 1


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 413, 415])
async def test_a_door_that_says_no_is_not_asked_again(stopping: list[AnsweringDoor], status: int) -> None:
    door = AnsweringDoor(saying(status, "no such key"))
    with pytest.raises(DoorClosedError, match=f"answers {status}: no such key"):
        await posted(stopping, door, EVENTS)
    assert len(door.batches) == 1


async def test_one_event_too_large_is_rejected_and_the_others_go_in(stopping: list[AnsweringDoor]) -> None:
    events = [EVENTS[0], {**EVENTS[1], "text": "x" * BATCH_BYTES}, EVENTS[2]]
    door = AnsweringDoor(accepted, saying(413))
    answer = await posted(stopping, door, events)
    assert answer.accepted == 2
    assert [rejected.event for rejected in answer.rejected] == [events[1]]


@pytest.mark.parametrize(
    "body", ["<html>welcome</html>", "{}", "[]", '{"results": []}', '{"results": [{"index": 7, "result": "accepted"}]}']
)
async def test_an_answer_that_settles_nothing_is_not_taken_for_one(stopping: list[AnsweringDoor], body: str) -> None:
    with pytest.raises(DoorClosedError):
        await posted(stopping, AnsweringDoor(saying(202, body)), EVENTS)
