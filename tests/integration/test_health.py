"""Health against real servers: there, not there, there but silent or frozen, and back again."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis.asyncio as redis
import served
from doors import make_topics
from pydantic import SecretStr
from running import PATIENCE, eventually

from gateway import schema
from gateway.abilities import ABILITIES
from gateway.settings import GatewaySettings
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.valkey import Valkey
from wire import channels, workers
from wire.workers import Heartbeat

CHECKS = {"kafka", "postgresql", "redis", "history"}


def servers(told: dict[str, Any]) -> dict[str, Any]:
    """The checks of servers, by name."""
    suffix = ":responseTime"
    return {name.removesuffix(suffix): each[0] for name, each in told["checks"].items() if name.endswith(suffix)}


def standing(told: dict[str, Any]) -> dict[str, str]:
    return {name: check["status"] for name, check in servers(told).items()}


def said_by(check: dict[str, Any]) -> str:
    return str(check.get("output") or check["detail"])


def heartbeat(app: str, **changes: Any) -> Heartbeat:
    fields: dict[str, Any] = {
        "worker_id": f"{app}-here-1",
        "app": app,
        "version": "1",
        "pid": 1,
        "web_port": 6066,
        "started_at_ms": 1,
        "sent_at_ms": int(time.time() * 1000) - 3_000,
        "partitions": {"activity": [0, 1]},
        "events_handled": 7,
        "last_progress_ms": None,
        "lag_records": 0,
        "loop_lag_ms": 0.1,
        "ready": True,
        "reason": "",
    }
    return Heartbeat(**fields | changes)


async def beat(redis_url: str, *beats: Heartbeat) -> None:
    async with redis.from_url(redis_url) as client:
        for each in beats:
            await client.set(channels.worker(each.worker_id), workers.encode(each), ex=60)


@pytest.fixture
async def whole(kafka: Kafka, postgres_url: str, redis_url: str) -> GatewaySettings:
    """Every server as it should be, and a ready worker of each pipeline."""
    await make_topics(kafka.address)
    await schema.migrate(postgres_url)
    await beat(redis_url, *map(heartbeat, ("aggregate", "live", "history")))
    return served.settings(kafka=kafka.address, postgres_url=postgres_url, redis_url=redis_url)


async def test_healthy_with_all_there(whole: GatewaySettings) -> None:
    async with served.gateway(whole) as client:
        answer = await client.get("/api/v1/health")
        ready = await client.get("/readyz")
    assert answer.status_code == 200
    said = answer.json()
    assert answer.headers["content-type"] == "application/health+json"
    assert (said["status"], said["reasons"]) == ("pass", [])
    assert standing(said) == dict.fromkeys(CHECKS, "pass")
    assert "activity has 8 partitions" in servers(said)["kafka"]["detail"]
    assert "in PostgreSQL" in servers(said)["history"]["detail"]
    for check in servers(said).values():
        assert (check["componentType"], check["observedUnit"]) == ("datastore", "ms")
        assert {"time", "since", "observedValue"} <= check.keys()
    assert [each["works"] for each in said["works"]] == [True] * len(ABILITIES)
    assert [worker["app"] for worker in said["workers"]] == ["aggregate", "history", "live"]
    assert said["workers"][0]["partitions"] == {"activity": [0, 1]}
    assert 3 <= said["workers"][0]["age_s"] < 60
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "reasons": []})


async def test_a_pipeline_without_a_ready_worker_degrades(whole: GatewaySettings) -> None:
    await beat(whole.redis_url, heartbeat("live", ready=False, reason="recovering its tables"))
    async with redis.from_url(whole.redis_url) as client:
        await client.delete(channels.worker("history-here-1"))
        await client.set(channels.worker("odd"), "{")  # not a heartbeat: no reason to fail
    async with served.gateway(whole) as ask:
        answer = await ask.get("/api/v1/health")
        assert answer.status_code == 200
        told = answer.json()
        assert told["status"] == "warn"
        assert told["reasons"] == ["live: no worker is ready", "history: no worker is ready"]
        assert told["checks"]["live:workers"][0]["output"] == "recovering its tables"
        assert told["checks"]["history:workers"][0]["output"] == "there is no worker"
        assert {each["what"] for each in told["works"] if not each["works"]} == {
            "live values move", "history is written"
        }  # fmt: skip
        assert (await ask.get("/readyz")).status_code == 200


async def test_a_paused_pipeline_is_told_to_be_paused(whole: GatewaySettings) -> None:
    await beat(whole.redis_url, heartbeat("live", paused="paused by anna: a disk is swapped"))
    async with served.gateway(whole) as ask:
        told = (await ask.get("/api/v1/health")).json()
    assert (told["status"], told["reasons"]) == ("warn", ["live: is paused"])


async def test_with_nobody_there_it_serves_and_says_so() -> None:
    async with served.gateway(served.settings()) as client:
        health, ready = await client.get("/api/v1/health"), await client.get("/readyz")
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/startupz")).status_code == 503
    assert health.status_code == 503
    assert health.json()["status"] == "fail"
    assert standing(health.json()) == dict.fromkeys(CHECKS, "fail")
    assert health.json()["workers"] == []
    assert ready.status_code == 503
    assert [reason.partition(":")[0] for reason in ready.json()["reasons"]] == ["kafka", "postgresql"]


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a server that takes connections and never says a word."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.close()


async def test_servers_that_never_answer_do_not_hang_it(silent: str) -> None:
    settings = served.settings(
        kafka=silent,
        redis_url=f"redis://{silent}/0",
        postgres_url=f"postgresql://{silent}/none",
        influx_url=f"http://{silent}",
    )
    async with served.gateway(settings) as client, asyncio.timeout(20 * PATIENCE):
        answers = await asyncio.gather(*(client.get("/api/v1/health") for _ in range(10)), client.get("/readyz"))
    for answer in answers[:10]:
        assert answer.status_code == 503
        assert standing(answer.json()) == dict.fromkeys(CHECKS, "fail")
        said = [said_by(check) for check in servers(answer.json()).values()]
        assert all("no answer" in one or "imeout" in one for one in said)
    assert answers[10].status_code == 503


async def test_what_is_there_but_not_as_needed_is_down_and_says_what_to_do(
    own_kafka: Kafka, postgres_url: str, redis_url: str
) -> None:
    settings = served.settings(kafka=own_kafka.address, postgres_url=postgres_url, redis_url=redis_url)
    async with served.gateway(settings) as client:
        checks = servers((await client.get("/api/v1/health")).json())
    assert "classpulse topics apply" in checks["kafka"]["output"]
    assert "classpulse db migrate" in checks["postgresql"]["output"]
    assert {name for name, check in checks.items() if check["status"] == "pass"} == {"redis"}


async def test_a_broker_that_stops_answering_is_down_and_comes_back(own_kafka: Kafka, whole: GatewaySettings) -> None:
    await make_topics(own_kafka.address)
    async with served.gateway(whole.model_copy(update={"kafka": own_kafka.address})) as client:
        assert (await client.get("/readyz")).status_code == 200
        process = psutil.Process(own_kafka.pid)
        process.send_signal(signal.SIGSTOP)
        try:
            await eventually(lambda: _is(client, "/api/v1/health", 503), 20, "it is down")
            answer = await client.get("/api/v1/health")
            assert {name for name, status in standing(answer.json()).items() if status == "fail"} == {"kafka"}
            assert servers(answer.json())["kafka"]["lastError"] == servers(answer.json())["kafka"]["output"]
            assert (await client.get("/startupz")).status_code == 200  # it has been there
        finally:
            process.send_signal(signal.SIGCONT)
        await eventually(lambda: _is(client, "/readyz", 200), 30, "ready again")


async def test_redis_may_come_later_and_go_and_come_back(
    whole: GatewaySettings, tmp_path: Path, cache_dir: Path
) -> None:
    server = Valkey(tmp_path / "valkey", cache=cache_dir)
    async with served.gateway(whole.model_copy(update={"redis_url": f"redis://{server.address}/0"})) as client:
        for _ in range(2):
            await asyncio.to_thread(server.start)
            await eventually(lambda: _redis_is(client, "pass"), 20, "Redis is up")
            await asyncio.to_thread(server.stop)
            await eventually(lambda: _redis_is(client, "fail"), 20, "Redis is down")
        answer = await client.get("/api/v1/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "warn")
        idle = {each["what"]: each["meanwhile"] for each in answer.json()["works"] if not each["works"]}
        assert "events are accepted" not in idle
        assert "catch up" in idle["live values move"]
        ready = await client.get("/readyz")  # the door works without
        assert (ready.status_code, ready.json()["reasons"]) == (200, [])


async def _redis_is(client: httpx.AsyncClient, status: str) -> bool:
    return standing((await client.get("/api/v1/health")).json())["redis"] == status


async def _is(client: httpx.AsyncClient, path: str, status: int) -> bool:
    return (await client.get(path)).status_code == status


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, None),
        ({"influx_token": "another"}, "unauthorized"),
        ({"influx_bucket": "another"}, "could not find bucket"),
    ],
)
async def test_influx_is_asked_as_it_is_read(
    influx_bucket: tuple[str, str, str, str], wrong: dict[str, str], said: str | None
) -> None:
    url, token, org, name = influx_bucket
    right = {"influx_url": url, "influx_token": token, "influx_org": org, "influx_bucket": name}
    settings = served.settings(**right | wrong)
    async with served.gateway(settings) as client:
        check = servers((await client.get("/api/v1/health")).json())["history"]
    assert check["status"] == ("fail" if said else "pass")
    assert (said or name) in said_by(check)


async def test_health_is_not_for_strangers_but_readiness_is() -> None:
    async with served.gateway(served.settings(), address="10.0.0.1") as client:
        assert (await client.get("/api/v1/health")).status_code == 403
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200


async def test_a_frozen_server_is_found_out_and_holds_up_no_answer(
    whole: GatewaySettings, own_postgres: Postgres, tmp_path: Path, cache_dir: Path
) -> None:
    """PostgreSQL, and with it the history, and Redis at once. By the median: others use the machine, too."""
    await schema.migrate(own_postgres.url)
    valkey = Valkey(tmp_path / "valkey", cache=cache_dir)
    await asyncio.to_thread(valkey.start)
    await beat(valkey.url, *map(heartbeat, ("aggregate", "live", "history")))
    family: list[psutil.Process] = []
    settings = whole.model_copy(update={"redis_url": valkey.url, "postgres_url": SecretStr(own_postgres.url)})
    try:
        async with served.gateway(settings) as client:
            await eventually(lambda: _stands(client, {}), 20, "all is well")
            for parent in map(psutil.Process, (own_postgres.pid, valkey.pid)):
                family += [parent, *parent.children(recursive=True)]  # of PostgreSQL each connection has one
            for process in family:
                process.send_signal(signal.SIGSTOP)
            took_s = []

            async def found_out() -> bool:
                began_s = time.monotonic()
                answers = [await client.get(path) for path in ("/api/v1/health", "/readyz?verbose", "/startupz")]
                took_s.append((time.monotonic() - began_s) / len(answers))
                status = standing(answers[0].json())
                return {name for name, each in status.items() if each == "fail"} == {"postgresql", "redis", "history"}

            await eventually(found_out, 20, "they are down")
            for _ in range(10):
                await found_out()
            assert sorted(took_s)[len(took_s) // 2] < 0.3 * PATIENCE
            for process in family:
                process.send_signal(signal.SIGCONT)
            await eventually(lambda: _stands(client, {}), 30, "all is well again")
            since = servers((await client.get("/api/v1/health")).json())["redis"]
            assert since["lastErrorTime"] <= since["since"]
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(valkey.stop)


async def _stands(client: httpx.AsyncClient, but: dict[str, str]) -> bool:
    status = standing((await client.get("/api/v1/health")).json())
    return status == dict.fromkeys(CHECKS, "pass") | but


async def test_readiness_is_told_in_detail_to_who_asks(whole: GatewaySettings) -> None:
    async with served.gateway(whole) as client:
        plain, verbose = await client.get("/readyz"), await client.get("/readyz?verbose")
        assert (await client.get("/startupz")).json() == {"status": "started", "reasons": []}
    assert "checks" not in plain.json()
    assert set(servers(verbose.json())) == CHECKS
