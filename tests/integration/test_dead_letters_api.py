"""The admin's routes of dead letters: who may, what they say, and what they do on a real broker."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import served
from doors import problem
from letters import Post, an_event, empty_topics
from running import eventually

from gateway import schema
from gateway.database import connected
from gateway.security import keys
from gateway.security.keys import Role
from stack.kafka import Kafka
from wire import dead_letters, events, topics
from wire.dead_letters import Action, Reason

URL = "/api/v1/admin/dead-letters"


@dataclass
class Desk:
    client: httpx.AsyncClient
    post: Post
    admin: dict[str, str]  # headers
    producer: dict[str, str]

    async def get(self, path: str = "", /, **query: object) -> dict[str, Any]:
        answer = await self.client.get(URL + path, params={k: str(v) for k, v in query.items()}, headers=self.admin)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def ask(self, what: str, **order: object) -> dict[str, Any]:
        answer = await self.client.post(f"{URL}/{what}", json={"reason": "a test", **order}, headers=self.admin)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
async def desk(module_kafka: Kafka, postgres_url: str) -> AsyncIterator[Desk]:
    await empty_topics(module_kafka.address)
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        admin = await keys.create(database, "ops", role=Role.ADMIN)
        producer = await keys.create(database, "lms")
    async with served.gateway(served.settings(kafka=module_kafka.address, postgres_url=postgres_url)) as client:
        headers = ({"Authorization": f"Bearer {key}"} for key in (admin, producer))
        yield Desk(client, Post(module_kafka.address), *headers)


async def test_only_an_admins_key_opens_it_and_it_opens_nothing_else(desk: Desk) -> None:
    for method, path in (("GET", ""), ("GET", "/activity.dead-letters-0-0"), ("POST", "/replay"), ("POST", "/drop")):
        without = await desk.client.request(method, URL + path)
        assert "an API key is needed" in problem(without, 401)["detail"]
        strange = await desk.client.request(method, URL + path, headers={"Authorization": "Bearer cp_unknown"})
        assert "not known" in problem(strange, 401)["detail"]
        refused = await desk.client.request(method, URL + path, headers=desk.producer)
        assert "the key 'lms' has the role producer; this takes admin" in problem(refused, 403)["detail"]
    event = {"student_id": "s1", "course_id": "c", "kind": "code_run", "occurred_at": "2026-01-15T09:30:00Z"}
    at_the_door = await desk.client.post("/api/v1/events", json=event, headers=desk.admin)
    assert "the key 'ops' has the role admin; this takes producer" in problem(at_the_door, 403)["detail"]


async def test_letters_are_told_page_by_page_and_each_once(desk: Desk) -> None:
    ids = [await desk.post.bury(b"x%d" % number, Reason.INVALID, key=b"s%d" % number) for number in range(7)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = await desk.get(**query)
        assert page["complete"]
        seen += [letter["id"] for letter in page["letters"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert seen == ids[::-1]
    assert (await desk.get(reason="failed"))["letters"] == []
    assert (await desk.get(source="metrics"))["letters"] == []
    assert (await desk.get(topic="metrics.parked"))["letters"] == []
    assert (await desk.get(until="2020-01-01T00:00:00Z"))["letters"] == []
    assert len((await desk.get(since="2020-01-01T00:00:00Z"))["letters"]) == 7


async def test_one_letter_is_told_whole(desk: Desk) -> None:
    letter = await desk.get("/" + await desk.post.bury(b"\xff\x00", Reason.NOT_JSON, key=b"\xfe", detail="no JSON"))
    assert (letter["reason"], letter["detail"], letter["source"]["topic"]) == ("not_json", "no JSON", "activity")
    assert base64.b64decode(letter["value_base64"]) == b"\xff\x00"
    assert (letter["key"], letter["value_text"], letter["value_bytes"], letter["handled"]) == ("\\xfe", None, 2, None)
    for missing in ("activity.dead-letters-0-9", "activity-0-0", "nonsense"):
        problem(await desk.client.get(f"{URL}/{missing}", headers=desk.admin), 404)


async def test_a_replay_is_looked_at_first_and_then_done_once_in_the_keys_name(desk: Desk) -> None:
    event = an_event()
    good, bad = await desk.post.bury_event(event), await desk.post.bury(b"\xff", Reason.NOT_JSON)
    looked = await desk.ask("replay", filter={"source": "activity"})
    assert (looked["dry_run"], looked["done"], looked["refused"], looked["more"]) == (True, 1, 1, 0)
    assert [(one["id"], one["result"]) for one in looked["letters"]] == [(good, "would_be_done"), (bad, "refused")]
    assert "not JSON" in looked["letters"][1]["reason"]
    assert len(await desk.post.lies(events.encode(event))) == 1

    done = await desk.ask("replay", filter={}, dry_run=False)
    assert [(one["id"], one["result"]) for one in done["letters"]] == [(good, "done"), (bad, "refused")]
    ((partition, key), again) = await desk.post.lies(events.encode(event))
    assert again == (partition, key) == (partition, b"s1")
    (mark,) = [dead_letters.decode_handled(record.value) for record in await desk.post.records(topics.HANDLED)]
    assert (mark.action, mark.by, mark.why) == (Action.REPLAYED, "ops", "a test")
    assert (await desk.get("/" + good))["handled"]["by"] == "ops"

    twice = await desk.ask("replay", filter={}, dry_run=False)
    assert [one["id"] for one in twice["letters"]] == [bad]
    assert len(await desk.post.lies(events.encode(event))) == 2


async def test_dropped_letters_leave_the_list(desk: Desk) -> None:
    ids = [await desk.post.bury(b"\xff", Reason.NOT_JSON) for _ in range(3)]
    looked = await desk.ask("drop", ids=ids[:2])
    assert (looked["done"], looked["dry_run"]) == (2, True)
    assert len((await desk.get())["letters"]) == 3
    assert (await desk.ask("drop", ids=ids[:2], dry_run=False))["done"] == 2
    assert [letter["id"] for letter in (await desk.get())["letters"]] == [ids[2]]
    handled = await desk.get(handled="true")
    assert [letter["handled"] and letter["handled"]["action"] for letter in handled["letters"]] == [
        None, "dropped", "dropped",
    ]  # fmt: skip


async def test_an_order_is_in_the_audit_log_before_and_after(desk: Desk, postgres_url: str) -> None:
    letter = await desk.post.bury(b"\xff", Reason.NOT_JSON)
    await desk.ask("drop", ids=[letter])  # only looked at
    await desk.ask("drop", ids=[letter], dry_run=False)
    await desk.get("/" + letter)

    async with connected(postgres_url, 10) as database:

        async def logged() -> list[tuple[str, ...]]:
            rows = await database.fetch("SELECT * FROM audit_log WHERE who = 'key:ops' ORDER BY seq")
            told = [tuple(row[name] for name in ("what", "whom", "origin", "result", "detail")) for row in rows]
            return told if len(told) == 3 else []

        assert await eventually(logged, 20, "it is in the log") == [
            ("letters.dropped", letter, "127.0.0.1", "begun", "a test"),
            ("letters.dropped", letter, "127.0.0.1", "done", "1 of 1"),
            ("letters.show", letter, "127.0.0.1", "done", ""),
        ]


async def test_what_cannot_be_logged_is_not_done(desk: Desk, postgres_url: str) -> None:
    letter = await desk.post.bury(b"\xff", Reason.NOT_JSON)
    assert (await desk.ask("drop", ids=[letter]))["done"] == 1  # its key is known from now on
    async with connected(postgres_url, 10) as database:
        await database.fetch("ALTER TABLE audit_log RENAME TO gone")
    order = {"ids": [letter], "dry_run": False, "reason": "a test"}
    refused = await desk.client.post(f"{URL}/drop", json=order, headers=desk.admin)
    assert "audit_log" in problem(refused, 503)["detail"]
    assert await desk.post.records(topics.HANDLED) == []


async def test_an_order_that_makes_no_sense_is_400_with_the_field(desk: Desk) -> None:
    one = "activity.dead-letters-0-0"
    orders: list[tuple[dict[str, Any], str]] = [
        ({"reason": "x"}, "give either `ids` or a `filter`"),
        ({"reason": "x", "ids": [one], "filter": {}}, "give either `ids` or a `filter`"),
        ({"ids": [one]}, "reason: Field required"),
        ({"ids": [one], "reason": "  "}, "reason: "),
        ({"ids": ["nonsense"], "reason": "x"}, "ids: 'nonsense' is no letter"),
        ({"filter": {"topic": "activity"}, "reason": "x"}, "filter.topic: "),
        ({"filter": {}, "reason": "x", "dryrun": False}, "dryrun: Extra inputs are not permitted"),
    ]
    for order, why in orders:
        for what in ("replay", "drop"):
            answer = await desk.client.post(f"{URL}/{what}", json=order, headers=desk.admin)
            assert why in problem(answer, 400)["detail"]
    assert await desk.post.records(topics.HANDLED) == []


async def test_other_bad_questions_are_told_too(desk: Desk) -> None:
    for query in ({"before": "x"}, {"limit": 0}, {"topic": "activity"}, {"since": "yesterday"}):
        problem(await desk.client.get(URL, params=query, headers=desk.admin), 400)
    problem(await desk.client.post(f"{URL}/drop", content=b"{}", headers=desk.admin), 415)
    large = b'{"reason": "' + b"x" * 2**20 + b'"}'
    as_json = {**desk.admin, "Content-Type": "application/json"}
    problem(await desk.client.post(f"{URL}/drop", content=large, headers=as_json), 413)


async def test_without_kafka_it_is_503(postgres_url: str) -> None:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        key = await keys.create(database, "ops", role=Role.ADMIN)
    async with served.gateway(served.settings(postgres_url=postgres_url)) as client:
        answer = await client.get(URL, headers={"Authorization": f"Bearer {key}"})
        assert "not reached" in problem(answer, 503)["detail"]
        assert answer.headers["Retry-After"]
