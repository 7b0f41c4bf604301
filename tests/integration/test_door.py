"""POST /api/v1/events against real servers: what goes in, and what is refused and how."""

import asyncio
import gzip
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import zstandard
from doors import URL, AtTheDoor, at_the_door, problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import eventually
from starlette.requests import Request

from gateway import bodies
from gateway.bodies import BODY_MAX_BYTES
from gateway.database import connected
from gateway.problems import ProblemError
from gateway.security import keys, limits
from producers.door import Door
from wire.events import ActivityEvent, Kind


async def test_an_event_is_in_kafka_when_202_is_answered(door: AtTheDoor) -> None:
    event_id = str(uuid.uuid4())
    before_ms = int(time.time() * 1000)
    sent = door.event(
        event_id=event_id,
        occurred_at="2026-01-15T09:30:00.5+09:00",
        score=0.25,
        success=True,
        task_id="t",
        duration_s=3,
        source="x",
    )
    response = await door.post(sent)
    assert response.status_code == 202
    result = {"index": 0, "event_id": event_id, "result": "accepted", "field": None, "reason": None, "on_roster": True}
    assert response.json() == {"accepted": 1, "duplicate": 0, "rejected": 0, "results": [result]}
    event = (await door.published())[-1]
    assert before_ms <= event.received_at_ms <= int(time.time() * 1000)
    assert event == ActivityEvent(
        event_id=event_id,
        student_id="s1",
        course_id=door.course,
        team_id="t1",  # from the roster
        kind=Kind.CODE_RUN,
        occurred_at_ms=1_768_437_000_500,
        received_at_ms=event.received_at_ms,
        source="lms",  # from the key
        task_id="t",
        score=0.25,
        success=True,
        duration_s=3.0,
    )


async def test_good_events_of_a_batch_go_in_and_bad_ones_are_told(door: AtTheDoor) -> None:
    response = await door.post([door.event(task_id="1"), door.event(kind="dancing"), 7, door.event(task_id="4")])
    assert response.status_code == 202
    body = response.json()
    assert (body["accepted"], body["rejected"]) == (2, 2)
    assert [(r["index"], r["result"], r["field"]) for r in body["results"]] == [
        (0, "accepted", None),
        (1, "rejected", "kind"),
        (2, "rejected", None),
        (3, "accepted", None),
    ]
    assert body["results"][2]["reason"] == "Expected `object`, got `int`"
    assert [event.task_id for event in await door.published()][-2:] == ["1", "4"]


async def test_who_is_not_on_the_roster_goes_in_and_is_told_so(door: AtTheDoor) -> None:
    other = f"{door.course}-other"
    response = await door.post(
        [
            door.event(team_id="elsewhere"),  # the roster knows better
            door.event(student_id="s2", team_id="t9"),  # the roster knows no team
            door.event(student_id="stranger", team_id="t9"),
            door.event(course_id=other),
        ]
    )
    assert [result["on_roster"] for result in response.json()["results"]] == [True, True, False, False]
    teams = {event.student_id: event.team_id for event in await door.published()}
    assert teams == {"opener": None, "s1": "t1", "s2": "t9", "stranger": "t9"}


async def test_a_key_of_other_courses_has_that_event_rejected(door: AtTheDoor) -> None:
    async with connected(door.postgres_url, 5) as database:
        door.key = await keys.create(database, "bound", [door.course])
    response = await door.post([door.event(), door.event(course_id="another")])
    assert [r["field"] for r in response.json()["results"]] == [None, "course_id"]
    body = problem(await door.post(door.event(course_id="another")), 422)
    assert body["results"][0]["field"] == "course_id"


async def test_a_batch_without_a_good_event_is_422_with_the_same_results(door: AtTheDoor) -> None:
    body = problem(await door.post([door.event(score=2), {}]), 422)
    assert body["detail"] == "no event is good; the first: score: Expected `float` <= 1.0"
    assert (body["accepted"], body["rejected"]) == (0, 2)
    assert [(r["index"], r["field"]) for r in body["results"]] == [(0, "score"), (1, "student_id")]


async def test_a_body_that_cannot_be_used_is_400(door: AtTheDoor) -> None:
    bodies = {
        b"": "empty",
        b"{": "truncated",
        b"[]": "empty",
        b"3": "expected an event or a list",
        b"[" * 10_000 + b"]" * 10_000: "nested too deep",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000: "nested too deep",
        b"[" + b"{}," * 500 + b"{}]": "at most 500",
        b'{"a": NaN}': "malformed",
    }
    for body, says in bodies.items():
        assert says in problem(await door.post(body), 400)["detail"]


async def test_nul_and_half_surrogates_are_told_with_index_field_and_reason(door: AtTheDoor) -> None:
    good = json.dumps(door.event())
    bad = [good.replace('"s1"', text) for text in (r'"a\u0000b"', r'"\ud800"')]
    response = await door.post(f"[{bad[0]}, {good}, {bad[1]}]".encode())
    assert response.status_code == 202
    results = response.json()["results"]
    assert [(r["index"], r["field"]) for r in results if r["result"] == "rejected"] == [
        (0, "student_id"),
        (2, "student_id"),
    ]


async def test_an_event_nested_too_deep_keeps_no_other_out(door: AtTheDoor) -> None:
    deep = b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    response = await door.post(b"[" + deep + b"," + json.dumps(door.event(task_id="beside")).encode() + b"]")
    assert response.status_code == 202
    assert [(r["index"], r["result"], r["reason"]) for r in response.json()["results"]] == [
        (0, "rejected", "nested too deep"),
        (1, "accepted", None),
    ]
    assert (await door.published())[-1].task_id == "beside"


async def test_what_the_pipeline_would_not_count_for_its_time_is_rejected(with_topics: str, postgres_url: str) -> None:
    async with at_the_door(with_topics, postgres_url, clock_skew_s=30) as door:
        await door.opened()
        at = [(datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat() for ahead_s in (20, 60)]
        response = await door.post([door.event(occurred_at=each) for each in at])
    near, far = response.json()["results"]
    assert near["result"] == "accepted"
    assert (far["field"], far["reason"]) == ("occurred_at", "is more than 30 s ahead of the door's clock")


async def test_a_body_too_large_is_413_however_it_comes(door: AtTheDoor) -> None:
    size = BODY_MAX_BYTES + 1

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(0, size, 4_096):
            yield b" " * 4_096

    headers = {"Authorization": f"Bearer {door.key}", "Content-Type": "application/json"}
    for content in (b" " * size, chunks()):
        response = await door.client.post(URL, content=content, headers=headers)
        assert "larger than 1048576 bytes" in problem(response, 413)["detail"]
    assert problem(await door.post(door.event(), Content_Length="9" * 5_000), 413)


async def test_a_body_as_large_as_allowed_goes_in(door: AtTheDoor) -> None:
    body = json.dumps(door.event()).encode()
    response = await door.post(body + b" " * (BODY_MAX_BYTES - len(body)))
    assert response.status_code == 202


async def test_another_content_type_is_415(door: AtTheDoor) -> None:
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=cp932"):
        assert "application/json" in problem(await door.post(door.event(), Content_Type=kind), 415)["detail"]
    assert "one of gzip, zstd" in problem(await door.post(door.event(), Content_Encoding="br"), 415)["detail"]


async def test_content_types_that_say_the_same_are_taken(door: AtTheDoor) -> None:
    for kind in ("application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'):
        assert (await door.post(door.event(), Content_Type=kind)).status_code == 202


async def test_lines_go_in_one_by_one_and_packed(door: AtTheDoor) -> None:
    lines = [json.dumps(door.event(task_id="1")), "{", json.dumps(door.event(task_id="3"))]
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstandard.compress)):
        body = pack("\n".join(lines).encode())
        response = await door.post(body, Content_Type="application/x-ndjson", Content_Encoding=encoding)
        assert response.status_code == 202
        assert [r["result"] for r in response.json()["results"]] == ["accepted", "rejected", "accepted"]
    assert [event.task_id for event in await door.published()][-4:] == ["1", "3", "1", "3"]


async def test_a_retried_batch_answers_success_and_lies_in_kafka_once(door: AtTheDoor) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    batch = [door.event(event_id=ids[0]), door.event(event_id=ids[1]), door.event(event_id=ids[0])]
    first, again = await door.post(batch), await door.post(batch)
    assert [r["result"] for r in first.json()["results"]] == ["accepted", "accepted", "duplicate"]
    assert again.status_code == 202
    told = again.json()
    assert (told["accepted"], told["duplicate"], told["rejected"]) == (0, 3, 0)
    assert [r["event_id"] for r in told["results"]] == [ids[0], ids[1], ids[0]]
    somebody_else = await door.post(door.event(event_id=ids[0], student_id="s2"))
    assert somebody_else.json()["accepted"] == 1
    assert Counter(event.event_id for event in await door.published() if event.event_id in ids) == {
        ids[0]: 2,
        ids[1]: 1,
    }


async def test_a_clock_two_hours_behind_is_corrected_and_the_correction_recorded(door: AtTheDoor) -> None:
    behind = datetime.now(UTC) - timedelta(hours=2)
    event = door.event(occurred_at=(behind - timedelta(seconds=30)).isoformat())
    assert (await door.post({"sent_at": behind.isoformat(), "events": [event]})).status_code == 202
    assert (await door.post(event, X_Sent_At=behind.isoformat())).status_code == 202
    assert "sent_at: expected" in problem(await door.post(event, X_Sent_At="now"), 400)["detail"]
    for found in (await door.published())[-2:]:
        assert found.clock_correction_ms is not None
        assert 0 <= found.clock_correction_ms - 7_200_000 < 60_000
        assert found.occurred_at_ms == found.received_at_ms - 30_000


async def test_no_key_or_an_unknown_one_is_401(door: AtTheDoor) -> None:
    for header in (b"", b"Bearer", b"Bearer ", b"Basic eDp5", b"Bearer cp_unknown", b"Bearer \xff\x80"):
        response = await door.client.post(URL, json=door.event(), headers={b"Authorization": header})
        problem(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"


async def test_another_method_is_405(door: AtTheDoor) -> None:
    response = await door.client.get(URL)
    assert "does not take GET" in problem(response, 405)["detail"]


async def test_more_requests_than_allowed_are_429_by_key(with_topics: str, postgres_url: str) -> None:
    async with at_the_door(with_topics, postgres_url, rate_limit_events="1000/minute;30/hour") as door:

        async def judged() -> bool:
            return (await door.post({})).status_code == 422

        await eventually(judged, 30, "the key is known, and from here on counted by itself")
        statuses = [(await door.post({})).status_code for _ in range(30)]
        assert statuses == sorted(statuses)
        assert {*statuses} == {422, 429}
        limited = await door.post({})
        assert "more than 30 per 1 hour" in problem(limited, 429)["detail"]
        assert int(limited.headers["retry-after"]) > 60


async def test_made_up_keys_are_429_by_address_and_known_ones_go_on(door: AtTheDoor) -> None:
    async def post(key: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        return await door.client.post(URL, json=door.event(), headers=headers)

    statuses = [(await post(f"cp_{number}")).status_code for number in range(2 * limits.STRANGERS.amount)]
    assert set(statuses) == {401, 429}
    refused = await post("cp_another")
    assert "60 per 1 minute with unknown keys" in problem(refused, 429)["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (await door.post(door.event())).status_code == 202


async def test_it_is_described_with_examples_that_are_accepted(door: AtTheDoor) -> None:
    described = (await door.client.get("/openapi.json")).json()["paths"][URL]["post"]
    assert {"202", "400", "401", "413", "415", "422", "429", "503"} <= described["responses"].keys()
    unsettled = described["responses"]["503"]["content"]["application/problem+json"]["schema"]["properties"]["results"]
    assert "retry" in unsettled["items"]["properties"]["result"]["enum"]
    content = described["requestBody"]["content"]["application/json"]
    assert "$ref" not in json.dumps(content)
    assert "\\Z" not in json.dumps(content)
    for example in content["examples"].values():
        assert (await door.post(example["value"])).status_code == 202


async def test_our_own_producer_understands_the_door(door: AtTheDoor) -> None:
    class Asgi(Door):
        """The same client, over ASGI instead of a socket."""

        def __init__(self) -> None:
            super().__init__("http://127.0.0.1:8000", door.key, patience_s=30)
            self._http = httpx.AsyncClient(transport=door.client._transport, headers=self._http.headers)

    async with Asgi() as producer:
        answer = await producer.post([door.event(), door.event(kind="dancing")])
        none_good = await producer.post([{}])
    assert (answer.accepted, [r.field for r in answer.rejected]) == (1, ["kind"])
    assert (none_good.accepted, len(none_good.rejected)) == (0, 1)


async def test_a_body_that_does_not_come_is_408() -> None:
    async def nothing() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    request = Request({"type": "http", "method": "POST", "headers": []}, nothing)
    with pytest.raises(ProblemError, match="408"):
        await bodies.read_body(request, timeout_s=0.05)


@dataclass
class SharedDoor:
    """A door for Hypothesis, whose functions are called again and again, and are not asynchronous."""

    at: AtTheDoor
    runner: asyncio.Runner

    def post(self, body: bytes) -> httpx.Response:
        return self.runner.run(self.at.post(body))


@pytest.fixture
def shared_door(with_topics: str, postgres_url: str) -> Iterator[SharedDoor]:
    with asyncio.Runner() as runner:
        opening = at_the_door(with_topics, postgres_url)
        at = runner.run(opening.__aenter__())
        runner.run(at.opened())
        yield SharedDoor(at, runner)
        runner.run(opening.__aexit__(None, None, None))


MUTATION = st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=st.lists(MUTATION, max_size=6))
def test_whatever_is_posted_is_never_a_fault_of_ours(
    shared_door: SharedDoor, mutations: list[tuple[int, int, bytes]]
) -> None:
    body = bytearray(json.dumps([shared_door.at.event(), shared_door.at.event(score=0.5, team_id="t")]).encode())
    for at, removed, put in mutations:
        body[at : at + removed] = put
    response = shared_door.post(bytes(body))
    if response.status_code != 202:
        assert response.status_code in (400, 422)
        problem(response, response.status_code)
