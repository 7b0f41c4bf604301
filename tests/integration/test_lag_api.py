"""The consumer groups by HTTP, on the command line and for Prometheus: who may see them, what is said, page by page."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import served
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from doors import problem
from running import eventually
from typer.testing import CliRunner, Result

from cli.lag import lag
from gateway import schema
from gateway.database import connected
from gateway.security import keys
from gateway.security.keys import Role
from stack import ports
from wire import topics

BASE = "/api/v1/admin"
WITHIN_S = 40  # a group that nobody is in is told after 11 s


@dataclass
class Desk:
    client: httpx.AsyncClient
    kafka: str
    admin: dict[str, str]  # headers
    producer: dict[str, str]

    async def get(self, path: str, headers: dict[str, str], **query: Any) -> httpx.Response:
        """On a busy machine PostgreSQL may take its time to know a key."""

        async def answered() -> httpx.Response | None:
            answer = await self.client.get(BASE + path, params=query, headers=headers)
            return None if answer.status_code == 503 else answer

        answer = await eventually(answered, 20, path)
        assert answer is not None
        return answer

    async def asked(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.get(path, self.admin, **query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
async def desk(with_topics: str, postgres_url: str, redis_url: str) -> AsyncIterator[Desk]:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        admin = await keys.create(database, "ops", role=Role.ADMIN)
        producer = await keys.create(database, "lms")
    settings = served.settings(kafka=with_topics, postgres_url=postgres_url, redis_url=redis_url)
    async with served.gateway(settings) as client:
        yield Desk(client, with_topics, *({"Authorization": f"Bearer {key}"} for key in (admin, producer)))


async def test_groups_topics_and_metrics_as_they_are(desk: Desk) -> None:
    for path in ("/consumers", "/consumers/live/lag", "/topics"):
        assert "an API key is needed" in problem(await desk.get(path, {}), 401)["detail"]
        problem(await desk.get(path, desk.producer), 403)

    async with (
        AIOKafkaProducer(bootstrap_servers=desk.kafka, acks="all") as producer,
        AIOKafkaConsumer(
            topics.METRICS, bootstrap_servers=desk.kafka, group_id="live", enable_auto_commit=False
        ) as live,
    ):
        for _ in range(5):
            await producer.send_and_wait(topics.METRICS, b"x", partition=3)
        await live.commit({TopicPartition(topics.METRICS, 3): OffsetAndMetadata(5, "")})

        async def told() -> dict[str, Any] | None:
            said = await desk.asked("/consumers")
            verdicts = {group["group"]: group["verdict"] for group in said["groups"]}
            wanted = {"aggregate": "stopped", "history": "stopped", "live": "ok"}
            return said if verdicts == wanted else None

        said = await eventually(told, WITHIN_S, "the groups are told")
        assert said is not None
        assert (said["verdict"], said["away"]) == ("stopped", "")
        assert [group["group"] for group in said["groups"]] == ["aggregate", "history", "live"]
        assert said["says"].startswith("aggregate is stopped: all 24 partitions; partition 0 of activity: no member")
        (live_group,) = (group for group in said["groups"] if group["group"] == "live")
        assert (live_group["lag"], live_group["topics"], live_group["lost"]) == (0, ["metrics"], 0)
        assert live_group["partitions"] == [{"verdict": "ok", "number": 8}]
        history = said["groups"][1]
        assert (history["lag"], history["runbook"]) == (5, "docs/runbook.md#stopped")
        assert {change["verdict"] for change in said["changes"] if change["group"] == "history"} >= {"stopped"}
        assert said["changes"][0]["at"] >= said["changes"][-1]["at"]

        lag = await desk.asked("/consumers/live/lag")
        assert [row["partition"] for row in lag["partitions"]] == list(range(8))
        row = lag["partitions"][3]
        assert (row["committed"], row["end"], row["lag"], row["lag_s"], row["verdict"]) == (5, 5, 0, 0, "ok")
        assert row["owner"]
        assert lag["partitions"][0]["committed"] is None

    metrics = (await desk.client.get("/metrics")).text
    assert 'kafka_consumergroup_group_lag{group="history",partition="3",topic="metrics"} 5.0' in metrics
    assert 'classpulse_consumergroup_verdict{group="history",verdict="stopped"} 1.0' in metrics
    assert 'classpulse_consumergroup_verdict{group="history",verdict="ok"} 0.0' in metrics

    everything = (await desk.asked("/topics"))["topics"]
    assert [topic["name"] for topic in everything] == list(topics.load())
    of = {topic["name"]: topic for topic in everything}[topics.METRICS]
    assert (of["partitions"], of["leaderless"], of["retention_s"]) == (8, [], 7 * 86_400)
    assert {one["group"] for one in of["groups"]} == {"live", "history"}
    assert everything[-1]["retention_s"] is None  # a changelog


async def test_pages_and_what_is_not_there(desk: Desk) -> None:
    async def seen() -> bool:
        return bool((await desk.asked("/consumers/aggregate/lag"))["partitions"])

    await eventually(seen, WITHIN_S, "the groups are seen")
    for path, rows, name in (
        ("/consumers/aggregate/lag", "partitions", lambda row: (row["topic"], row["partition"])),
        ("/topics", "topics", lambda row: row["name"]),
    ):
        whole = [name(row) for row in (await desk.asked(path))[rows]]
        found: list[Any] = []
        query: dict[str, Any] = {"limit": 5}
        while True:
            page = await desk.asked(path, **query)
            found += [name(row) for row in page[rows]]
            if page["next"] is None:
                break
            query["after"] = page["next"]
        assert found == whole
        answer = await desk.get(path, desk.admin, after="nowhere-1")
        assert "'nowhere-1' is no `next` of a page" in problem(answer, 400)["detail"]
    missing = await desk.get("/consumers/nobody/lag", desk.admin)
    assert "there are aggregate, history, live" in problem(missing, 404)["detail"]


async def run(*arguments: str) -> Result:
    """`classpulse lag`, which looks for 2 s."""
    result: Result = await asyncio.to_thread(CliRunner().invoke, command(), [*arguments, "--for", "2"])
    return result


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(lag)
    return app


async def test_the_command_tells_the_same_without_a_gateway(with_topics: str, redis_url: str) -> None:
    there = ["--kafka", with_topics, "--redis", redis_url]

    async def told() -> dict[str, Any] | None:
        result = await run("--json", *there)
        assert result.exit_code in (0, 1, 3), result.output  # 2 s are too short for a busy machine to tell
        said: dict[str, Any] = json.loads(result.output[: result.output.rindex("}") + 1])
        return said if all(group["partitions"] for group in said["groups"]) else None

    said = await eventually(told, 60, "the groups are told")
    assert said is not None
    assert {group["group"] for group in said["groups"]} == {"aggregate", "live", "history"}
    rows = (await run("live", *there)).output
    assert rows.startswith("live: ")
    assert all(f"metrics {number}" in rows for number in range(8))
    wrong = await run("nobody", *there)
    assert (wrong.exit_code, "there is no group 'nobody'" in wrong.output) == (2, True)


async def test_the_command_without_kafka() -> None:
    result = await run("--kafka", f"127.0.0.1:{ports.free()}", "--redis", f"redis://127.0.0.1:{ports.free()}/0")
    assert result.exit_code == 3, result.output
    assert "not reached" in result.output


async def test_without_kafka_it_says_so(postgres_url: str) -> None:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        admin = await keys.create(database, "ops", role=Role.ADMIN)
    headers = {"Authorization": f"Bearer {admin}"}
    async with served.gateway(served.settings(postgres_url=postgres_url)) as client:

        async def away() -> dict[str, Any] | None:
            said = (await client.get(f"{BASE}/consumers", headers=headers)).json()
            return said if said.get("away") else None

        said = await eventually(away, 20, "Kafka is away")
        assert said is not None
        assert (said["verdict"], {group["verdict"] for group in said["groups"]}) == ("unknown", {"unknown"})
        assert "not reached" in said["away"]
        topic = (await client.get(f"{BASE}/topics", headers=headers)).json()["topics"][0]
        assert (topic["name"], topic["partitions"], topic["records"]) == ("activity", 0, None)
