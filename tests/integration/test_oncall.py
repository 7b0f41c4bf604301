"""What the one on call asks, of a gateway with real servers: the numbers are those of what was done to it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import gateway_process
import httpx
import pytest
import redis.asyncio as redis
from aiokafka import AIOKafkaProducer
from doors import URL, make_topics, prepared, problem
from gateway_process import ended, serving
from msgspec import Raw
from running import PATIENCE, PROJECT, eventually
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from gateway.database import connected
from gateway.oncall.reasons import Level
from gateway.security import keys
from gateway.security.keys import Role
from stack import ports
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.valkey import Valkey
from wire import audit, channels, frames, gateways, topics, workers
from wire.audit import Balance, Stage, Totals, Wrong
from wire.frames import PROTOCOL, Subscribe
from wire.workers import Heartbeat

BASE = "/api/v1/admin"
PATHS = ("system-status", "worker-status", "performance", "rate-limits", "viewers", "metrics")
EVENTS = 7
WITHIN_S = 40


class Desk:
    """One gateway for all tests here, a process of its own."""

    def __init__(
        self,
        port: int,
        kafka: str,
        redis_url: str,
        course: str,
        found: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        self.port = port
        self.kafka = kafka
        self.redis_url = redis_url
        self.course = course
        self.environment = environment
        self.headers = {name: {"Authorization": f"Bearer {key}"} for name, key in found.items()}

    async def get(self, path: str, who: str = "admin", **query: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=20 * PATIENCE) as client:

            async def answered() -> httpx.Response | None:
                try:
                    answer = await client.get(f"{BASE}/{path}", params=query, headers=self.headers.get(who))
                except httpx.TransportError:  # it is not up yet
                    return None
                return None if answer.status_code == 503 else answer  # PostgreSQL may take its time to know a key

            answer = await eventually(answered, 30, path)
            assert answer is not None
            return answer

    async def asked(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def post(self, who: str, number: int) -> int:
        now = datetime.now(UTC).isoformat()
        event = {"course_id": self.course, "kind": "code_run", "occurred_at": now}
        body = [{**event, "student_id": f"s{each}"} for each in range(number)]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=20 * PATIENCE) as client:
            try:
                return (await client.post(URL, json=body, headers=self.headers[who])).status_code
            except httpx.ConnectError:
                return 0  # it is not up yet


@pytest.fixture(scope="module")
def desk(module_kafka: Kafka, postgres: Postgres, servers_dir: Path, cache_dir: Path) -> Iterator[Desk]:
    name, port = f"test_{uuid.uuid4().hex[:12]}", ports.free()
    valkey = Valkey(servers_dir / f"valkey-{name}", cache=cache_dir)  # heartbeats and channels of nobody else's
    valkey.start()
    postgres.create_database(name)
    redis_url, postgres_url = f"redis://{valkey.address}/0", postgres.url_of(name)

    async def keyed() -> Desk:
        await make_topics(module_kafka.address)
        producer, course = await prepared(postgres_url)
        async with connected(postgres_url, 10) as database:
            admin = await keys.create(database, "ops", role=Role.ADMIN)
            slow = await keys.create(database, "slow", rate="1/hour")
        await does_not_add_up(module_kafka.address)
        found = {"admin": admin, "producer": producer, "slow": slow}
        return Desk(port, module_kafka.address, redis_url, course, found, environment)

    environment = {
        "CLASSPULSE_KAFKA": module_kafka.address,
        "CLASSPULSE_POSTGRES_URL": postgres_url,
        "CLASSPULSE_REDIS_URL": redis_url,
        "CLASSPULSE_PROBE_EVERY_S": "1",
        "CLASSPULSE_RATE_LIMIT_WAIT_MS": "1000",  # a busy machine is not to look like a silent Redis
    }
    made = asyncio.run(keyed())
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway"],
        cwd=PROJECT,
        env=gateway_process.environment(port, **environment),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield made
    finally:
        process.terminate()
        process.wait(30 * PATIENCE)
        valkey.stop()
        postgres.drop_database(name)


async def test_who_may_ask(desk: Desk) -> None:
    assert (
        await desk.get("pipeline", "nobody")
    ).status_code == 200  # without log-in the page shows it to whoever is here
    problem(await desk.get("pipeline", "producer"), 403)
    for path in PATHS:
        problem(await desk.get(path, "nobody"), 401)
        problem(await desk.get(path, "producer"), 403)


async def test_the_verdict_has_its_reasons_the_worst_first_and_what_has_changed(desk: Desk) -> None:
    await beat(desk, "aggregate")

    async def judged() -> dict[str, Any] | None:
        said = await desk.asked("system-status")
        about = {one["about"]: one for one in said["reasons"]}
        # Nobody folds, so no probe comes back.
        wanted = {"group aggregate", "workers live", "workers history", "probe", "audit"}
        stopped = about.get("group aggregate", {}).get("runbook") == "docs/runbook.md#stopped"
        return said if wanted <= about.keys() and stopped else None

    said = await eventually(judged, WITHIN_S, "all that is missing is told")
    assert said is not None
    by = {one["about"]: one for one in said["reasons"]}
    assert (said["verdict"], said["audit"]["adds_up"]) == (Level.FAILING, False)
    assert said["says"] == f"{said['reasons'][0]['says']}; and {len(said['reasons']) - 1} more"
    assert said["reasons"][0]["about"] == "audit"  # with the servers there, nothing is worse
    wrong = "partition 3, offsets 4 to 5: 2 events are acknowledged at the door, but not in Kafka"
    # What lies beyond the end of a partition is missing too.
    assert by["audit"]["says"].endswith(f" events do not add up in the last hour: {wrong}")
    assert {one["since"] <= said["seen"] for one in said["reasons"]} == {True}
    assert by["workers live"]["says"] == "no worker of live is ready: there is none"
    assert by["workers live"]["runbook"] == "docs/runbook.md#no_worker"
    assert "workers aggregate" not in by
    assert said["probe"]["late"]
    works = {one["what"]: one["works"] for one in said["works"]}
    assert (works["events are accepted"], works["live values move"]) == (True, False)
    changed = [(one["about"], one["verdict"]) for one in said["changes"]]
    assert {("system", "failing"), ("audit", "failing"), ("workers live", "degraded"), ("probe", "degraded")} <= set(
        changed
    )

    whole = (await desk.asked("system-status", limit=200))["changes"]
    pages: list[Any] = []
    query: dict[str, Any] = {"limit": 2}
    while query:
        page = await desk.asked("system-status", **query)
        pages += page["changes"]
        query = {"limit": 2, "before": page["next"]} if page["next"] is not None else {}
    assert pages[-len(whole) :] == whole  # others may have come meanwhile

    await beat(desk, "live", "history")

    async def there() -> bool:
        said = await desk.asked("system-status")
        newest = {one["about"]: one["verdict"] for one in reversed(said["changes"])}
        return newest["workers live"] == "ok" and "workers live" not in {one["about"] for one in said["reasons"]}

    await eventually(there, WITHIN_S, "who came back is told")


async def test_workers_as_they_say_and_pipelines_without_one(desk: Desk) -> None:
    await beat(desk, "aggregate", held_by="PostgreSQL: no answer", loop_lag_worst_ms=12.5)
    await beat(desk, "live", ready=False, reason="recovering its tables")
    async with redis.from_url(desk.redis_url) as client:
        await client.delete(channels.worker("history-here-1"))

    async def told() -> dict[str, Any] | None:
        said = await desk.asked("worker-status")
        right = said["missing"] == ["live", "history"] and len(said["workers"]) == 2
        return said if right and said["workers"][0]["held_by"] else None

    said = await eventually(told, 20, "their heartbeats are read")
    assert said is not None
    assert [one["says"] for one in said["pipelines"]] == [
        *("", "live-here-1: recovering its tables", "there is no worker")
    ]
    first = said["workers"][0]
    assert (first["worker_id"], first["held_by"]) == ("aggregate-here-1", "PostgreSQL: no answer")
    assert (first["partitions"], first["handled"], first["loop_lag_worst_ms"]) == ({"activity": [0, 1]}, 7, 12.5)
    assert first["age_s"] >= 0
    page = await desk.asked("worker-status", limit=1)
    assert (len(page["workers"]), page["next"]) == (1, "aggregate-here-1")
    page = await desk.asked("worker-status", limit=1, after=page["next"])
    assert ([one["pipeline"] for one in page["workers"]], page["next"]) == (["live"], None)


async def test_what_was_posted_and_who_watches_is_counted(desk: Desk) -> None:
    async def posted() -> bool:
        return await desk.post("producer", EVENTS) == 202

    before = await desk.asked("performance", limit=200)
    await eventually(posted, 30, "the door is open")
    assert await desk.post("producer", EVENTS) == 202
    subprotocols = [Subprotocol(PROTOCOL)]
    async with connect(f"ws://127.0.0.1:{desk.port}/ws/live", subprotocols=subprotocols) as viewer:
        for scope in ("course:one", "course:two", "school:all"):
            await viewer.send(frames.encode(Subscribe(scope=scope)).decode())

        async def seen() -> dict[str, Any] | None:
            said = await desk.asked("viewers")
            kinds = {one["kind"]: (one["subscriptions"], one["scopes"]) for one in said["kinds"]}
            wanted = {"student": (0, 0), "team": (0, 0), "course": (2, 2), "school": (1, 1)}
            return said if kinds == wanted else None

        said = await eventually(seen, 20, "the viewer is seen, and the gateway's own is not")
        assert said is not None
        assert (said["viewers"], said["addresses"]) == (1, [{"address": "127.0.0.1", "viewers": 1}])
        assert (said["processes"], said["stale_since"], said["next"]) == (1, None, None)
        told = await desk.asked("performance", limit=200)
        assert said["pid"] == told["pid"]
        assert told["fan_out"]["viewers"] == 1
        assert (told["fan_out"]["scopes"], told["fan_out"]["subscriptions"]) == (3, 3)
        assert told["fan_out"]["deliveries"] > 0

    # Probes are accepted too.
    assert told["rates"]["accepted_total"] >= before["rates"]["accepted_total"] + 2 * EVENTS
    assert told["rates"]["accepted"] > 0
    routes = {one["route"]: one for one in told["routes"]}
    door = routes["POST /api/v1/events"]
    assert door["count"] - door["failed"] >= 2
    assert 0 < door["p50_s"] <= door["p99_s"]
    assert routes["GET /api/v1/admin/performance"]["count"] >= 1
    assert [one["total_s"] for one in told["routes"]] == sorted(
        (one["total_s"] for one in told["routes"]), reverse=True
    )
    stages = {one["stage"]: one for one in told["latencies"]}
    assert stages["door"]["count"] >= door["count"]
    queues = {one["queue"]: one for one in told["queues"]}
    assert queues.keys() == {"publisher", "feed"}
    assert 0 <= queues["publisher"]["size"] <= queues["publisher"]["limit"] == 32 * 2**20
    assert told["loop_lag"]["worst_s"] >= told["loop_lag"]["p50_s"] >= 0
    assert [one["generation"] for one in told["garbage"]] == [0, 1, 2]
    assert told["rss_bytes"] > 10 * 2**20
    page = await desk.asked("performance", limit=1)
    assert len(page["routes"]) == 1
    assert page["next"] == page["routes"][0]["route"]

    async def gone() -> bool:
        return bool((await desk.asked("viewers"))["viewers"] == 0)

    await eventually(gone, 20, "who has gone is not counted")


async def test_who_is_at_a_limit_is_told(desk: Desk) -> None:
    async def refused() -> bool:
        return await desk.post("slow", 1) == 429

    await eventually(refused, 30, "one event an hour")
    said = await desk.asked("rate-limits")
    assert (said["shared"], said["away"], said["full_total"]) == (True, "", 1)
    (full,) = said["full"]
    assert (full["policy"], full["of"], full["amount"], full["period_s"]) == ("events", "key:slow", 1, 3_600)
    assert full["wait_s"] > 3_000
    policies = {one["policy"]: one for one in said["policies"]}
    assert (policies["reads"]["amount"], policies["reads"]["period_s"], policies["reads"]["counts"]) == (
        1_200, 60, "requests",
    )  # fmt: skip
    assert not policies["unknown-keys"]["shared"]
    assert "is no `next` of a page" in problem(await desk.get("rate-limits", after="nobody"), 400)["detail"]


async def test_another_gateway_that_is_frozen_is_told_and_one_that_ends_is_forgotten(desk: Desk) -> None:
    async with redis.from_url(desk.redis_url) as client, serving(**desk.environment) as (_, other):

        async def living() -> set[int]:
            members = cast("list[bytes]", await client.zrange(channels.GATEWAYS, 0, -1))
            return {gateways.decode(one).pid for one in members}

        async def silent() -> dict[str, Any] | None:
            reasons = (await desk.asked("system-status"))["reasons"]
            return next((one for one in reasons if one["about"].startswith("gateway ")), None)

        async def both() -> bool:
            return other.pid in await living() and len(await living()) == 2

        await eventually(both, 30, "both say that they live")
        assert await silent() is None
        other.send_signal(signal.SIGSTOP)
        told = await eventually(silent, WITHIN_S, "it is told by the other one")
        other.send_signal(signal.SIGCONT)
        assert told is not None
        assert told["about"].endswith(f" {other.pid}")
        assert (told["verdict"], told["runbook"]) == ("degraded", "docs/runbook.md#gateway_silent")

        async def back() -> bool:
            return await silent() is None

        await eventually(back, WITHIN_S, "it is back")
        other.terminate()
        await ended(other)
        assert other.pid not in await living(), "in order, it says so"


async def test_what_is_promised_is_counted(desk: Desk) -> None:
    async def posted() -> bool:
        return await desk.post("producer", 1) == 202

    await eventually(posted, 30, "the door is open")

    async def told() -> dict[str, Any] | None:
        by = {one["objective"]: one for one in (await desk.asked("system-status"))["objectives"]}
        kept = by["ingest"]["total"] > by["ingest"]["bad"] and by["correctness"]["bad"]
        return by if kept and by["ingest"]["stored"] else None

    by = await eventually(told, WITHIN_S, "requests and looks at the audit are counted, and PostgreSQL has been asked")
    assert by is not None
    ingest, correctness = by["ingest"], by["correctness"]
    assert (ingest["target"], ingest["runbook"]) == (0.999, "docs/runbook.md#ingesterrors")
    assert ingest["share"] == pytest.approx(1 - ingest["bad"] / ingest["total"], abs=1e-6)
    assert ingest["budget_left"] == pytest.approx(1 - ingest["bad"] / ingest["total"] / 0.001, abs=1e-5)
    assert (correctness["share"], correctness["budget_left"], correctness["burning"]) == (0, None, True)
    assert by["freshness"].items() >= {"total": 0, "share": None, "burn_1h": None, "burning": False}.items()
    (share,) = (await desk.asked("metrics", limit=1, after="classpulse_objective_burn_rate"))["metrics"]
    values = {one["labels"]["objective"]: one["value"] for one in share["samples"]}
    assert share["name"] == "classpulse_objective_share"
    assert (values["correctness"], values["freshness"]) == (0, "NaN")


async def test_the_command_shows_the_same(desk: Desk, tmp_path: Path) -> None:
    key_file = tmp_path / "admin.key"
    key_file.write_text(desk.headers["admin"]["Authorization"].removeprefix("Bearer "))

    async def shown(*more: str) -> tuple[int | None, str]:
        command = [sys.executable, "-m", "cli.main", "status", f"--url=http://127.0.0.1:{desk.port}", *more]
        environment = {**os.environ, "COLUMNS": "200", "CLASSPULSE_HOME": str(tmp_path)}
        asked = await asyncio.create_subprocess_exec(*command, cwd=PROJECT, env=environment, stdout=PIPE)
        said, _ = await asked.communicate()
        return asked.returncode, said.decode()

    words = (
        *("failing since", "do not add up", "docs/runbook.md#no_worker", "not now:", "probe: none has come back"),
        *("aggregate", "kept, 30 d", "correctness", "too fast: docs/runbook.md#audit_wrong", "changed"),
    )
    last = ""

    async def failing() -> bool:
        nonlocal last
        code, last = await shown(f"--key-file={key_file}")
        return code == 1 and all(each in last for each in words)  # each is told in its own time

    try:
        await eventually(failing, WITHIN_S, "failing is exit code 1")
    except AssertionError:
        pytest.fail(f"missing: {[each for each in words if each not in last]} in\n{last}")
    code, said = await shown(f"--key-file={key_file}", "--json")
    told = json.loads(said)
    assert (code, told["system"]["verdict"], told["refusal"]) == (1, "failing", "")
    assert {one["group"] for one in told["consumers"]["groups"]} == {"aggregate", "live", "history"}
    code, said = await shown()
    assert code == 0, "what is not told is not failing"
    assert "health: fail" in said or "health: warn" in said
    assert "an admin's key is needed" in said
    code, said = await shown(f"--url=http://127.0.0.1:{ports.free()}")
    assert (code, "does not answer" in said) == (3, True)


async def test_metrics_are_those_of_prometheus(desk: Desk) -> None:
    found: dict[str, Any] = {}
    query: dict[str, Any] = {"limit": 5}
    while query:
        page = await desk.asked("metrics", **query)
        found |= {one["name"]: one for one in page["metrics"]}
        query = {"limit": 5, "after": page["next"]} if page["next"] is not None else {}
    assert len(found) == page["total"]
    assert list(found) == sorted(found)
    verdicts = found["classpulse_consumergroup_verdict"]
    assert (verdicts["type"], bool(verdicts["help"])) == ("gauge", True)
    assert {sample["labels"]["group"] for sample in verdicts["samples"]} == {"aggregate", "live", "history"}
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{desk.port}/metrics")).text
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE classpulse")} <= {
        *found, *(f"{name}_total" for name in found), *(f"{name}_created" for name in found),
    }  # fmt: skip


async def does_not_add_up(kafka: str) -> None:
    """What the audit's agent would have told of this minute."""
    now_ms = int(time.time() * 1000)
    wrong = Wrong(stage=Stage.DOOR, first=4, last=5, number=2)
    totals = Totals(folded=4, duplicate=0, late=0, dead=0)
    balance = Balance(
        partition=3, minute_ms=now_ms - now_ms % 60_000, first=0, last=5, accepted=6, totals=totals, difference=2,
        wrong=[wrong],
    )  # fmt: skip
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        await producer.send_and_wait(topics.BALANCES, audit.encode(balance), key=balance.key.encode())


async def beat(desk: Desk, *apps: str, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "version": "1", "pid": 1, "web_port": 6066, "started_at_ms": 1, "sent_at_ms": int(time.time() * 1000),
        "partitions": {"activity": [0, 1]}, "events_handled": 7, "last_progress_ms": None, "lag_records": 0,
        "loop_lag_ms": 0.1, "ready": True, "reason": "",
    }  # fmt: skip
    async with redis.from_url(desk.redis_url) as client:
        for app in apps:
            sent = Heartbeat(**{"worker_id": f"{app}-here-1", "app": app, **fields, **changes})
            await client.set(channels.worker(sent.worker_id), workers.encode(sent), ex=3_600)


async def test_the_pipeline_is_drawn_and_live_it_is_the_same_made_anew(desk: Desk) -> None:
    asked = await desk.asked("pipeline")
    ids = [node["id"] for node in asked["nodes"]]
    assert {"door", "server kafka", "topic activity", "group aggregate", "group live", "viewers"} <= set(ids)
    assert all({edge["source"], edge["target"]} <= set(ids) for edge in asked["edges"])
    url = f"ws://127.0.0.1:{desk.port}/ws/live"
    async with (
        asyncio.timeout(WITHIN_S * PATIENCE),
        connect(url, subprotocols=[Subprotocol(PROTOCOL)]) as viewer,
    ):
        await viewer.send(frames.encode(Subscribe(scope=frames.ONCALL, epoch="another", offset=5)).decode())
        told = [frames.decode(await viewer.recv()) for _ in range(3)]
    hello, first, second = told
    assert isinstance(hello, frames.Hello)
    assert isinstance(first, frames.Snapshot)
    assert isinstance(second, frames.Update)
    assert (second.epoch, second.offset) == (first.epoch, first.offset + 1)
    drawn = [json.loads(bytes(whole)) for whole in (first.pipeline, second.pipeline) if isinstance(whole, Raw)]
    assert [[node["id"] for node in each["nodes"]] for each in drawn] == [ids, ids]
    assert drawn[0]["seen"] <= drawn[1]["seen"]
    assert drawn[1]["nodes"][ids.index("viewers")]["viewers"] == 1
