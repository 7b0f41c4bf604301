"""Workers that hang, or are told to leave: what they say of themselves, and how they end."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from running import PATIENCE, eventually
from worker_process import WorkerProcess, apply_topics, point, tell

from stack.kafka import Kafka
from stack.valkey import Valkey
from wire import workers
from wire.metrics import ScopeUpdate

# As `python -m pipelines.live.app`, with a task that blocks the loop while there is a file of that name.
BLOCKED = """
import os, time
from pathlib import Path
from pipelines.live.app import create
from pipelines.settings import LiveSettings
from pipelines.worker import run

worker = create(LiveSettings())

def stands_here():
    time.sleep(600)

@worker.app.timer(0.2)
async def block():
    if Path(os.environ["BLOCK"]).exists():
        stands_here()

run(worker)
"""


class Blockable(WorkerProcess):
    def command(self) -> list[str]:
        return [sys.executable, "-c", BLOCKED]


@pytest.fixture(scope="module")
def with_topics(module_kafka: Kafka) -> str:
    apply_topics(module_kafka)
    return module_kafka.address


@pytest.fixture
def block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "block"
    monkeypatch.setenv("BLOCK", str(file))
    return file


@pytest.fixture
def worker(with_topics: str, redis_url: str, tmp_path: Path, block: Path) -> Iterator[Blockable]:  # noqa: ARG001 -- its environment
    running = Blockable(
        "live", with_topics, tmp_path / "live.log", redis_url=redis_url, loop_dump_s=2, loop_exit_s=8
    )  # fmt: skip
    running.start()
    yield running
    running.close()


async def test_a_loop_that_does_not_turn_is_in_the_log_and_ends_the_worker(worker: Blockable, block: Path) -> None:
    assert (await worker.get("/startupz"))[0] != 200
    await worker.until_ready()
    assert (await worker.get("/startupz"))[0] == 200
    status, body = await worker.get("/readyz?verbose")
    assert (status, json.loads(body)["status"]) == (200, "pass")
    assert set(json.loads(body)["checks"]) == {
        f"live:{name}" for name in ("partitions", "eventLoop", "batch", "coordinator", "progress")
    }
    beat = json.loads(body)["heartbeat"]
    assert beat["loop_lag_worst_ms"] >= 0
    os.kill(worker.pid, signal.SIGQUIT)

    async def said_where() -> bool:
        return "run_forever" in worker.said()

    await eventually(said_where, 20, "asked by SIGQUIT it says where it is")
    assert await worker.ready()  # and goes on
    await asyncio.to_thread(block.touch)
    assert await worker.end() == workers.EXIT_LOOP_BLOCKED
    assert len(re.findall("in stands_here", worker.said())) == 1
    assert "leaving so that it is started again" in worker.said()


async def test_told_to_leave_it_does_so_within_ten_seconds_though_its_store_is_frozen_under_a_batch(
    with_topics: str, tmp_path: Path, cache_dir: Path
) -> None:
    valkey = Valkey(tmp_path / "valkey", cache=cache_dir)
    await asyncio.to_thread(valkey.start)
    sink = WorkerProcess("live", with_topics, tmp_path / "live.log", redis_url=valkey.url)
    sink.start()
    assert valkey.pid is not None
    try:
        await sink.until_ready()
        psutil.Process(valkey.pid).send_signal(signal.SIGSTOP)
        await tell(with_topics, [ScopeUpdate(scope="school:all", points=[point(1)])])

        async def busy() -> bool:
            _, body = await sink.get("/readyz")
            return bool(body) and json.loads(body)["batch_for_ms"] is not None

        await eventually(busy, 30, "it has the batch")
        began_s = time.monotonic()
        os.kill(sink.pid, signal.SIGTERM)
        assert await sink.end() == 0
        assert time.monotonic() - began_s < 10 * PATIENCE
    finally:
        sink.close()
        psutil.Process(valkey.pid).send_signal(signal.SIGCONT)
        await asyncio.to_thread(valkey.stop)
