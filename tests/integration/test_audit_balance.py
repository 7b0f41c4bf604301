"""The audit by HTTP and on the command line, on balances as its stage writes them: who may see it, and what it says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest
import served
from aiokafka import AIOKafkaProducer
from doors import make_topics, problem
from typer.testing import CliRunner

from cli.audit import app
from gateway import schema
from gateway.database import connected
from gateway.security import keys
from gateway.security.keys import Role
from stack import ports
from stack.kafka import Kafka
from wire import audit, topics
from wire.audit import Balance, Stage, Totals, Wrong

URL = "/api/v1/admin/audit"
MINUTE_MS = 60_000


@dataclass
class Desk:
    client: httpx.AsyncClient
    kafka: str
    admin: dict[str, str]  # headers
    producer: dict[str, str]

    async def asked(self, **query: str) -> dict[str, Any]:
        answer = await self.client.get(URL, params=query, headers=self.admin)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def run(self, *arguments: str, code: int = 0) -> str:
        """What `classpulse audit balance` says, on both streams."""
        result = await asyncio.to_thread(CliRunner().invoke, app, ["balance", *arguments, "--kafka", self.kafka])
        assert result.exit_code == code, result.output
        return result.output

    async def tell(self, *balances: Balance | bytes) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all") as producer:
            for one in balances:
                key, value = (b"", one) if isinstance(one, bytes) else (one.key.encode(), audit.encode(one))
                await producer.send_and_wait(topics.BALANCES, value, key)

    async def fill(self, partition: int, number: int) -> None:
        """Events, whatever they are."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all") as producer:
            for _ in range(number):
                await producer.send(topics.ACTIVITY, b"{}", partition=partition)


@pytest.fixture
async def desk(own_kafka: Kafka, postgres_url: str) -> AsyncIterator[Desk]:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        admin = await keys.create(database, "ops", role=Role.ADMIN)
        producer = await keys.create(database, "lms")
    async with served.gateway(served.settings(kafka=own_kafka.address, postgres_url=postgres_url)) as client:
        headers = ({"Authorization": f"Bearer {key}"} for key in (admin, producer))
        yield Desk(client, own_kafka.address, *headers)


async def test_who_may_ask_and_what_is_said_while_there_is_nothing(desk: Desk) -> None:
    without = await desk.client.get(URL)
    assert "an API key is needed" in problem(without, 401)["detail"]
    refused = await desk.client.get(URL, headers=desk.producer)
    assert "the key 'lms' has the role producer; this takes admin" in problem(refused, 403)["detail"]
    for bad in ("yesterday", "2026-01-15T00:30:00"):
        assert "since" in problem(await desk.client.get(URL, params={"since": bad}, headers=desk.admin), 400)["detail"]

    bare = await desk.client.get(URL, headers=desk.admin)
    assert "classpulse topics apply" in problem(bare, 503)["detail"]
    assert bare.headers["Retry-After"]
    assert "classpulse topics apply" in await desk.run(code=3)

    await make_topics(desk.kafka)
    empty = await desk.asked()
    assert (empty["adds_up"], empty["complete"], empty["wrong"], empty["minutes"]) == (True, True, [], [])
    assert [one["partition"] for one in empty["partitions"]] == list(range(topics.load()[topics.ACTIVITY].partitions))
    assert "It adds up since" in await desk.run()


async def test_what_adds_up_and_what_does_not_is_told_with_its_offsets(desk: Desk) -> None:
    await make_topics(desk.kafka)
    minute_ms = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS - 2 * MINUTE_MS
    totals = Totals(folded=6, duplicate=2, late=1, dead=1)
    good = Balance(partition=3, minute_ms=minute_ms, first=0, last=9, accepted=8, totals=totals)
    lost = Wrong(stage=Stage.FOLD, first=4, last=6, number=3)
    bad = msgspec.structs.replace(good, difference=3, wrong=[lost], totals=Totals(folded=6, duplicate=1))
    other = Balance(partition=0, minute_ms=minute_ms + MINUTE_MS, first=0, last=0, accepted=1, totals=Totals(folded=1))
    old = msgspec.structs.replace(bad, partition=5, minute_ms=minute_ms - 3_600_000)
    await desk.fill(3, 15)
    await desk.fill(0, 1)
    await desk.fill(5, 10)
    await desk.tell(old, bad, other)

    view = await desk.asked()
    assert (view["adds_up"], view["complete"], view["totals"]["difference"]) == (False, True, 3)
    (wrong,) = view["wrong"]
    assert (wrong["stage"], wrong["partition"], wrong["first"], wrong["last"], wrong["number"]) == ("fold", 3, 4, 6, 3)
    assert wrong["says"] in await desk.run(code=1)

    await desk.tell(good)
    view = await desk.asked()
    assert (view["adds_up"], view["wrong"]) == (True, [])
    sums = {"folded": 6, "duplicate": 2, "late": 1, "dead": 1, "difference": 0}
    expected = {"partition": 3, "first": 0, "last": 9, "accepted": 8, "unclaimed": 2, "in_flight": 5} | sums
    assert view["partitions"][3] == expected
    assert view["totals"] == {"accepted": 9, "unclaimed": 2, "in_flight": 15, **sums, "folded": 7}
    assert [(one["partition"], one["last"]) for one in view["minutes"]] == [(3, 9), (0, 0)]
    said = await desk.run("--minutes")
    assert "It adds up" in said
    assert [line.split()[1:] for line in said.splitlines() if line.split()[:1] == ["3"]] == [
        ["8", "2", "5", "6", "2", "1", "1", "0"]
    ]
    assert json.loads(await desk.run("--json"))["totals"] == view["totals"]

    long_ago = f"{time.gmtime().tm_year - 1}-01-01T00:00:00Z"
    assert [one["partition"] for one in (await desk.asked(since=long_ago))["wrong"]] == [5]
    assert "partition 5, offsets 4 to 6" in await desk.run("--since", "3h", code=1)

    await desk.tell(b"nonsense")
    view = await desk.asked()
    assert (view["complete"], view["gaps"]) == (False, ["balances that cannot be read: 1"])
    assert "balances that cannot be read: 1" in await desk.run(code=3)


async def test_without_kafka_it_says_so(own_kafka: Kafka, desk: Desk) -> None:
    await asyncio.to_thread(own_kafka.kill)
    answer = await desk.client.get(URL, headers=desk.admin)
    assert "not reached" in problem(answer, 503)["detail"]
    assert "not reached" in await desk.run(code=3)


def test_what_makes_no_sense_is_a_wrong_option() -> None:
    for arguments in (["--since", "yesterday"], ["--timeout", "0"], ["--kafka", "nowhere"]):
        result = CliRunner().invoke(app, ["balance", "--kafka", f"127.0.0.1:{ports.free()}", *arguments])
        assert result.exit_code == 2, result.output
