"""`python -m gateway` as a process: it starts with nobody there, says so once, and ends when told."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import httpx
import pytest
from gateway_process import ended, serving, start
from running import PATIENCE
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from stack import ports
from wire.frames import PROTOCOL


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a gateway that serves, and ends as it should."""
    async with serving() as (port, process):
        yield port
        process.send_signal(signal.SIGTERM)
        code, log = await ended(process)
    away = [line["server"] for line in log if line["event"] == "is away"]
    # Each once; of the workers Redis would tell.
    assert sorted(away) == ["history", "kafka", "postgresql", "redis", "workers"]
    assert code in (0, -signal.SIGTERM)
    assert [line for line in log if line["level"] in ("error", "critical")] == []


async def test_it_serves_with_nobody_there(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert (await client.get("/readyz")).status_code == 503
        answer = await client.get("/livez")
        assert "server" not in answer.headers
        assert (await client.get("/api/v1/dashboard/overview", headers={"Host": "evil.example"})).status_code == 403


async def test_it_ends_although_a_viewer_watches(port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}/ws/live", subprotocols=[Subprotocol(PROTOCOL)]) as viewer:
        assert json.loads(await viewer.recv())["type"] == "hello"
        await viewer.send('{"type":"subscribe","scope":"course:py101"}')
        assert json.loads(await viewer.recv())["type"] == "stale"  # Redis is away
        assert not viewer.protocol.extensions  # no compression


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_taken_port_ends_it_with_the_reason(port: int, processes: str) -> None:
    code, log = await ended(await start(port, CLASSPULSE_GATEWAY_PROCESSES=processes))
    assert code != 0
    assert any("address already in use" in line["event"].lower() for line in log)


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [("127.0.0.1", True), ("10.0.0.0/8, 127.0.0.0/8", True), ("10.0.0.0/8", False), ("", False)],
)
async def test_only_a_trusted_proxy_says_who_the_client_is(trusted: str, believed: bool) -> None:
    async with serving(CLASSPULSE_TRUSTED_PROXIES=trusted) as (port, _), httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/api/v1/health"
        answer = await client.get(url, headers={"X-Forwarded-For": "127.0.0.1, 203.0.113.7"})
    assert ("this machine only" in answer.text) == believed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "eighty"),
        ("GATEWAY_PROCESSES", "0"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("POSTGRES_URL", "mysql://classpulse:hunter2@127.0.0.1/classpulse"),
        ("INFLUX_URL", "127.0.0.1:8086"),
        ("DASHBOARD_ACCESS", "everybody"),
        ("RATE_LIMIT_EVENTS", "a lot"),
        ("RATE_LIMIT_READS", "0/minute"),
        ("LIVE_VIEWERS_MAX", "0"),
        ("DASHBOARD_HOSTS", "https://classpulse.example"),
        ("DASHBOARD_HOSTS", "localhost:8000"),
        ("TRUSTED_PROXIES", "docker"),
        ("TRUSTED_PROXIES", "172.17.0.1/12"),
        ("CLOCK_SKEW_S", "-1"),
    ],
)
async def test_a_setting_that_does_not_fit_ends_it_and_is_named(name: str, value: str) -> None:
    process = await start(ports.free(), **{f"CLASSPULSE_{name}": value})
    async with asyncio.timeout(30 * PATIENCE):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert name.lower().encode() in said
    assert b"Traceback" not in said
    assert b"hunter2" not in said
