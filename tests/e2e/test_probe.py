"""Probes on the whole stack: they come back, they are in no number, and where they do not come back health says so."""

import json
import shutil
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from running import RunningStack, eventually

from wire import channels, metrics, probe
from wire.metrics import Metric

EVENTS = 3


@pytest.fixture(scope="module")
def probed(servers_dir: Path) -> Iterator[RunningStack]:
    """A stack that probes every second."""
    stack = RunningStack(servers_dir / f"stack-{uuid.uuid4().hex[:8]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSPULSE_PROBE_EVERY_S", "1")
        try:
            stack.run("up", "--empty", "--detach", timeout_s=180)
            yield stack
        finally:
            stack.down()
            shutil.rmtree(stack.home, ignore_errors=True)


def get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def post(stack: RunningStack, events: list[dict[str, Any]]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {stack.api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(stack.door, json.dumps(events).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return dict(json.loads(answer.read()))


async def come_back(stack: RunningStack, number: int) -> None:
    async def enough() -> bool:
        for line in get(f"{stack.dashboard}/metrics").splitlines():
            if line.startswith("classpulse_probe_latency_seconds_count "):
                return float(line.rpartition(" ")[2]) >= number
        return False

    await eventually(enough, 60, f"{number} probes have come back")


async def test_they_come_back_and_are_in_no_number(probed: RunningStack) -> None:
    await come_back(probed, 3)
    now = datetime.now(UTC)
    event = {"student_id": "s1", "course_id": "c1", "kind": "code_run", "occurred_at": now.isoformat()}
    assert [one["result"] for one in post(probed, [event] * EVENTS)["results"]] == ["accepted"] * EVENTS

    async with redis.from_url(probed.environment("CLASSPULSE_REDIS_URL")) as client:

        async def of_today(scope: str) -> float:
            point = await client.hget(channels.day(scope, now.date()), Metric.EVENTS_PER_DAY.value)
            return metrics.decode_point(point).value if point else 0

        async def told() -> bool:
            return await of_today("course:c1") == EVENTS

        await eventually(told, 30, "the events are told")
        await come_back(probed, 8)  # and others since
        assert await of_today("school:all") == EVENTS
        assert await client.zrange(channels.seen("student"), 0, -1) == [b"s1"]
        assert await client.zrange(channels.seen("course"), 0, -1) == [b"c1"]

    async def adds_up() -> bool:
        view = json.loads(probed.run("audit", "balance", "--json"))
        return view["totals"]["accepted"] >= EVENTS + 8 and bool(view["adds_up"])

    await eventually(adds_up, 60, "doors have claimed probes, and fold has judged them")
    health = json.loads(get(f"{probed.dashboard}/api/v1/health"))
    assert health["checks"]["probe:latency"][0]["observedValue"] > 0
    assert health["checks"]["probe:age"][0]["observedUnit"] == "s"
    assert "probe: the newest that has come back" in probed.run("status")
    refused = post(probed, [{**event, "student_id": probe.STUDENTS[0]}, event])["results"]
    assert [one["result"] for one in refused] == ["rejected", "accepted"]
