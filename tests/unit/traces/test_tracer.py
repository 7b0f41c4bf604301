"""Spans leave the process in time or not at all, and nobody waits for it."""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

from collecting import collecting
from running import eventually

from stack import ports
from traces import outbox
from traces.context import Context
from traces.telemetry import SPANS
from traces.tracer import CLOSE_WITHIN_S, OFF, Kind, Tracer

PROJECT = Path(__file__).parents[3]
PARENT = Context("a" * 32, "b" * 16, sampled=True)
OTHER = Context("c" * 32, "d" * 16, sampled=True)

# Not all of the SDK: redis-py imports its metrics wherever they are installed.
HEAVY = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto", "google.protobuf", "traces.outbox")


def told(outcome: str) -> float:
    return float(SPANS.labels(outcome)._value.get())


async def test_a_span_has_its_parent_links_and_service() -> None:
    with collecting() as collector:
        tracer = Tracer(f"{collector.url}/", "classpulse-test")
        span = tracer.begin("work", Kind.CONSUMER, PARENT, {"n": 1}, [OTHER])
        child = tracer.begin("more", Kind.PRODUCER, span.context, {})
        child.end(failed="Oops")
        span.end({"late": "x"})
        span.end({"late": "twice"})
        root = tracer.begin("alone", Kind.SERVER, None, {})
        root.end()
        await tracer.close()
        more, work, alone = collector.spans
    assert (work.trace_id, work.parent_id, work.service) == (PARENT.trace_id, PARENT.span_id, "classpulse-test")
    assert work.links == [(OTHER.trace_id, OTHER.span_id)]
    assert (work.attributes, work.failed) == ({"n": 1, "late": "x"}, False)
    assert (more.parent_id, more.failed, more.attributes) == (work.span_id, True, {"error.type": "Oops"})
    assert (alone.parent_id, alone.trace_id) == ("", root.context.trace_id)


async def test_what_a_collector_does_not_take_is_counted() -> None:
    before = told("failed")
    with collecting() as collector:
        collector.status = 400
        tracer = Tracer(collector.url, "classpulse-test")
        tracer.begin("work", Kind.SERVER, None, {}).end()
        await tracer.close()
    assert told("failed") == before + 1


async def test_without_a_collector_the_queue_is_bounded_and_the_end_is_not_held_up() -> None:
    full = told("full")
    tracer = Tracer(f"http://127.0.0.1:{ports.free()}", "classpulse-test")
    for _ in range(outbox.QUEUE_MAX + 100):
        tracer.begin("work", Kind.SERVER, None, {}).end()

    async def dropped() -> bool:
        return told("full") >= full + 1 or len(tracer._outbox._waiting) < outbox.QUEUE_MAX

    await eventually(dropped, 10, "some were dropped, or sent")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    other, began_s = asyncio.create_task(turn()), time.monotonic()
    await tracer.close(0.5)
    assert time.monotonic() - began_s < 60 * CLOSE_WITHIN_S
    assert turns  # the loop was free meanwhile
    other.cancel()

    async def ended() -> bool:
        return not any(thread.name == "traces" for thread in threading.enumerate())

    await eventually(ended, 30, "the thread has ended")
    tracer.begin("late", Kind.SERVER, None, {}).end()
    assert len(tracer._outbox._waiting) == 0


def test_who_does_not_trace_imports_nothing_of_it() -> None:
    program = (
        f"HEAVY = {HEAVY}\n"
        "import sys, pipelines.live.app, pipelines.aggregate.app, gateway.app, gateway.settings\n"
        "gateway.app.create_app(gateway.settings.GatewaySettings())\n"
        "print(sorted(name for name in sys.modules if name.startswith(HEAVY)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert not OFF.on
