"""What a batch that fails does to the process, and what a worker says of itself before it has started."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from running import PROJECT

from pipelines.history.app import create as create_history
from pipelines.live.app import create as create_live
from pipelines.settings import HistorySettings, LiveSettings
from pipelines.worker import CLOSE_WITHIN_S, Worker, create_app

_BATCH = """
import asyncio, logging.config
from pipelines.settings import LiveSettings
from pipelines.worker import Worker, _logging, create_app
logging.config.dictConfig(_logging(LiveSettings()))  # Faust does so when it runs

worker = Worker(create_app("live", LiveSettings()), LiveSettings())
try:
    with worker.batch("metrics", 7):
        {work}
finally:
    print("acknowledged")
"""


def run_batch(work: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _BATCH.format(work=work)], cwd=PROJECT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("work", ["raise ValueError('our bug')", "raise asyncio.CancelledError"])
def test_a_batch_that_does_not_end_well_ends_the_process_before_anything_can_acknowledge_it(work: str) -> None:
    done = run_batch(work)
    assert done.returncode == os.EX_SOFTWARE
    assert done.stdout == ""
    assert "batch failed; leaving so that it is read again" in done.stderr


def test_the_log_tells_the_error_and_not_everybodys_variables() -> None:
    said = run_batch("secret = 'hunter2'; raise ValueError('our bug')").stderr
    assert "ValueError: our bug" in said
    assert "locals" not in said
    assert said.count("hunter2") <= 1  # the line of code itself
    assert not set("│╭╰") & set(said)


def test_a_batch_that_ends_well_goes_on() -> None:
    done = run_batch("pass")
    assert (done.returncode, done.stdout) == (0, "acknowledged\n")


@pytest.mark.parametrize("app", ["aggregate", "live", "history"])
def test_a_setting_that_does_not_fit_is_named(app: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"pipelines.{app}.app"], cwd=PROJECT, capture_output=True, text=True, timeout=60,
        env={**os.environ, "CLASSPULSE_WORKER_PORT": "many", "HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "worker_port" in done.stderr


def test_stall_is_longer_than_the_longest_pause_between_two_tries_of_a_sink() -> None:
    from pipelines.sink import LONGEST_PAUSE_S

    assert LiveSettings().stall_s > 2 * LONGEST_PAUSE_S


async def test_what_a_worker_has_open_is_closed_when_it_has_stopped_and_one_that_hangs_holds_nobody_up() -> None:
    worker = Worker(create_app("live", LiveSettings()), LiveSettings())
    closed = []

    async def hangs() -> None:
        await asyncio.sleep(100 * CLOSE_WITHIN_S)

    async def breaks() -> None:
        raise OSError("gone already")

    async def closes() -> None:
        closed.append(worker.app.should_stop)

    for close in (hangs, breaks, closes):
        worker.closes(close)
    await worker.app.stop()
    assert closed == [True]


@pytest.mark.parametrize("transport", ["batch", "stock"])
def test_the_sinks_close_their_stores(transport: Literal["batch", "stock"]) -> None:
    workers = [
        create_live(LiveSettings(transport=transport)),
        create_history(HistorySettings(transport=transport)),
        create_history(HistorySettings(influx_url="http://127.0.0.1:1", transport=transport)),
    ]
    closes = [worker.app.closes[0].__qualname__ for worker in workers]
    assert closes == ["LiveWriter.close", "PostgresStore.close", "InfluxStore.close"]
