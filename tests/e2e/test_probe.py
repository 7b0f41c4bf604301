"""Probes on the whole stack: they come back, they are in no number, and where they do not come back health says so. And
an event is followed on it, by its spans, from the door to the frame that a viewer gets.
"""

import asyncio
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
from collecting import Collected, Collector, collecting
from running import RunningStack, eventually

from wire import channels, metrics, probe
from wire.metrics import Metric

EVENTS = 3


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def probed(servers_dir: Path, collector: Collector) -> Iterator[RunningStack]:
    """A stack that probes every second, and traces every request with events."""
    stack = RunningStack(servers_dir / f"stack-{uuid.uuid4().hex[:8]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSPULSE_PROBE_EVERY_S", "1")
        patch.setenv("CLASSPULSE_TRACES", collector.url)
        patch.setenv("CLASSPULSE_TRACES_SHARE", "1")
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


def post(stack: RunningStack, events: list[dict[str, Any]], **more: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {stack.api_key}", "Content-Type": "application/json", **more}
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


async def test_an_event_is_followed_from_the_door_to_the_frame(probed: RunningStack, collector: Collector) -> None:
    """What the producer's own trace began goes on to a viewer of its course; the probes meanwhile are in no trace."""
    trace_id, asked = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    scope = "course:traced"
    stream = f"{probed.dashboard}/api/v1/live/stream?scope={scope}"
    viewer = await asyncio.to_thread(urllib.request.urlopen, stream, timeout=60)
    with viewer:
        while b"event: snapshot" not in await asyncio.to_thread(viewer.readline):
            pass
        now = datetime.now(UTC)
        event = {"student_id": "s9", "course_id": "traced", "kind": "code_run", "occurred_at": now.isoformat()}
        post(probed, [event], traceparent=f"00-{trace_id}-{asked}-01")

        def spans(name: str, service: str) -> dict[str, Collected]:
            found = collector.named(name, service)
            return {span.span_id: span for span in found if span.trace_id == trace_id}

        async def delivered() -> list[Collected]:
            told = spans("deliver update", "gateway").values()
            return [span for span in told if span.attributes["classpulse.scope.kind"] == "course"]

        (frame, *_) = await eventually(delivered, 60, "the frame's span has come")

    def caused(by: Collected) -> bool:
        """The producers' spans have been exported, too."""
        return by.parent_id in {span.span_id for span in collector.spans}

    async def whole() -> bool:
        return all(caused(span) for span in list(collector.spans) if span.trace_id == trace_id and not is_door(span))

    def is_door(span: Collected) -> bool:
        return span.parent_id == asked

    await eventually(whole, 30, "what each span came of has come")
    live = spans("process metrics", "live")[frame.parent_id]
    merge = spans("process partials", "aggregate")[live.parent_id]
    fold = spans("process activity", "aggregate")[merge.parent_id]
    send = spans("send activity", "gateway")[fold.parent_id]
    door = spans("POST /api/v1/events", "gateway")[send.parent_id]
    assert door.parent_id == asked
    assert door.attributes["http.response.status_code"] == 202
    assert frame.attributes["classpulse.viewers"] == 1
    assert fold.attributes["messaging.destination.name"] == "activity"

    async def history() -> bool:
        return bool(spans("process metrics", "history"))

    await eventually(history, 30, "the history's span has come")
    told = "\n".join(f"{value}" for span in collector.spans for value in span.attributes.values())
    assert "s9" not in told
    assert "traced" not in told
    metrics_ = get(f"{probed.dashboard}/metrics")
    assert 'classpulse_spans_total{outcome="exported"}' in metrics_

    async with redis.from_url(probed.environment("CLASSPULSE_REDIS_URL")) as client:
        kept: Any = await client.xrevrange(channels.stream(scope), count=10)
    assert kept  # as viewers get them
    assert not any(b"traceparent" in fields[b"frame"] for _, fields in kept)
