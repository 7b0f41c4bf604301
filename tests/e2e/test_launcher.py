"""`classpulse up`, `status`, `down` as somebody types them, each in a home of its own."""

import asyncio
import json
import os
import pty
import signal
import stat
import subprocess
import sys
from typing import Any, Self

import psutil
import pytest
from running import CACHE, PATIENCE, PROJECT, RunningStack, eventually

from producers.door import Door
from stack import answers, ports
from stack.influx import Influx
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.valkey import Valkey

SERVERS = {"kafka", "postgres", "valkey", "influxd"}
PROCESSES = {"gateway", "aggregate", "live", "history"}
LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the kernel does not end orphans; the next `up` does"
)


def _pids(stack: RunningStack) -> dict[str, int]:
    return {service["name"]: service["pid"] for service in stack.status["services"] if service["pid"] is not None}


def _family(stack: RunningStack) -> list[psutil.Process]:
    """Every process of the stack, the children of its servers too."""
    own = [psutil.Process(pid) for pid in _pids(stack).values()]
    return own + [grandchild for process in own for grandchild in process.children(recursive=True)]


async def _gone(processes: list[psutil.Process]) -> None:
    async def left() -> bool:
        return not [process for process in processes if _runs(process)]

    await eventually(left, 30, "nothing of the stack runs")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Terminal:
    """`up` in the foreground of a terminal."""

    def __init__(self, stack: RunningStack, *arguments: str) -> None:
        # Children inherit that it is ignored, as it is in all that a shell starts with `&`: not so below a terminal.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._ours, its = pty.openpty()
        self.up = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", *arguments],
            cwd=PROJECT,
            env={**os.environ, "CLASSPULSE_HOME": str(stack.home), "CLASSPULSE_CACHE": str(CACHE), "TERM": "xterm"},
            stdout=its,
            stderr=its,
        )
        os.close(its)
        self.shown = b""
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def _read(self) -> None:
        try:
            self.shown += os.read(self._ours, 65_536)
        except OSError:  # nobody writes any more
            asyncio.get_running_loop().remove_reader(self._ours)

    async def ended(self) -> int:
        return await asyncio.to_thread(self.up.wait, 90 * PATIENCE)

    def close(self) -> None:
        """As when its window is closed: nothing can be written any more."""
        if self._ours >= 0:
            asyncio.get_running_loop().remove_reader(self._ours)
            os.close(self._ours)
            self._ours = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.up.kill()
        self.up.wait()


async def _running(stack: RunningStack) -> None:
    async def runs() -> bool:
        return bool(stack.status["state"] == "running")

    await eventually(runs, 120, "the stack runs")


@LINUX
async def test_from_up_to_down_over_kills(own_stack: RunningStack) -> None:
    told = own_stack.run("up", "--empty", "--detach", timeout_s=180)
    first = await _as_told(own_stack, told)
    await _what_is_killed_is_started_again(own_stack)
    await _a_killed_launcher_leaves_nothing(own_stack)

    own_stack.run("up", "--empty", "--detach", timeout_s=180)
    again = own_stack.status
    assert again["dashboard"] == first["dashboard"]
    assert again["environment"] == first["environment"]
    before = _pids(own_stack)
    second = own_stack.run("up")
    assert "already runs" in second
    assert first["dashboard"] in second
    assert _pids(own_stack) == before

    family = _family(own_stack)
    assert "Stopped" in own_stack.run("down", timeout_s=150)
    await _gone(family)
    assert own_stack.status["state"] == "stopped"
    assert "Nothing runs" in own_stack.run("down")


async def _as_told(stack: RunningStack, told: str) -> dict[str, Any]:
    """Its status."""
    status = stack.status
    assert status["state"] == "running"
    assert told.rstrip().endswith(status["dashboard"]), "the dashboard's address comes last"
    assert {service["name"] for service in status["services"]} == SERVERS | PROCESSES
    assert {service["state"] for service in status["services"] if service["name"] in PROCESSES} == {"ready"}
    assert answers.http_status(f"{stack.dashboard}/readyz", timeout_s=10) == 200
    for secret in (stack.home / "run.json", stack.key_file):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600

    async def workers() -> bool:
        return {worker["app"] for worker in stack.status["workers"] if worker["ready"]} == PROCESSES - {"gateway"}

    await eventually(workers, 20, "every worker says that it is ready")
    asked = json.loads(stack.run("status", "--json"))
    assert (asked["state"], asked["dashboard"]) == ("running", status["dashboard"])
    table = stack.run("status")
    assert all(name in table for name in SERVERS | PROCESSES)
    assert "kept, 30 d" in table, "an admin's key is made, and the gateway tells all"
    key_file = stack.home / "status.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    key_file.write_text("cp_of_another_database")
    assert "kept, 30 d" in stack.run("status"), "one that is not known is made anew"
    assert "serves" not in stack.run("logs", "kafka", "-n", "5")
    return status


async def _what_is_killed_is_started_again(stack: RunningStack) -> None:
    before = _pids(stack)
    killed = ("aggregate", "valkey")
    for name in killed:
        assert stack.kill(name) == before[name]

        async def back(name: str = name) -> bool:
            service = stack.service(name)
            return bool(service["state"] == "ready" and service["pid"] != before[name] and service["restarts"] == 1)

        await eventually(back, 60, f"{name} is started again")
    after = _pids(stack)
    assert {name for name in before if after[name] != before[name]} == set(killed), "nothing else was restarted"
    assert "aggregate was ended by SIGKILL" in stack.run("logs", "launcher", "-n", "100")


async def _a_killed_launcher_leaves_nothing(stack: RunningStack) -> None:
    family = _family(stack)
    assert len(family) > len(SERVERS | PROCESSES), "PostgreSQL has children"
    psutil.Process(stack.status["launcher_pid"]).kill()
    await _gone(family)
    dead = stack.status
    assert (dead["state"], dead["launcher_pid"], dead["error"]) == ("stopped", None, "the launcher was killed")
    assert {service["state"] for service in dead["services"]} == {"stopped"}


async def test_the_classroom_works_until_its_terminal_is_closed(own_stack: RunningStack) -> None:
    with Terminal(own_stack) as terminal:
        await _running(own_stack)

        async def address_shown() -> bool:
            return own_stack.dashboard in terminal.shown.decode().splitlines()[-2]

        await eventually(address_shown, 20, "the dashboard's address comes last")

        async def events_flow() -> bool:
            handled = {worker["app"]: worker["events_handled"] for worker in own_stack.status["workers"]}
            return all(handled.get(app, 0) > 20 for app in ("aggregate", "live", "history"))

        await eventually(events_flow, 60, "events flow through every worker")
        assert "demo" in _pids(own_stack)
        family = _family(own_stack)
        terminal.close()
        terminal.up.send_signal(signal.SIGHUP)
        assert await terminal.ended() == 0
        await _gone(family)
    assert list(own_stack.home.rglob("*.pid")) == [], "who stops in order, PostgreSQL too, removes its own"
    assert (own_stack.status["state"], own_stack.status["error"]) == ("stopped", "")


async def test_an_interrupt_while_it_starts_leaves_nothing(own_stack: RunningStack) -> None:
    with Terminal(own_stack, "--empty") as terminal:

        async def under_way() -> bool:
            return own_stack.status["state"] == "starting" and bool(_pids(own_stack))

        await eventually(under_way, 60, "a server runs, the stack does not yet")
        family = _family(own_stack)
        terminal.up.send_signal(signal.SIGINT)
        assert await terminal.ended() == 0
        await _gone(family)
    assert own_stack.left_running() == []


async def test_servers_that_somebody_else_runs_are_used_and_left_running(
    own_stack: RunningStack,
    own_kafka: Kafka,
    postgres: Postgres,
    postgres_url: str,
    valkey: Valkey,
    redis_url: str,
    influx: Influx,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLASSPULSE_INFLUX_TOKEN", influx.token)
    addresses = ["--kafka", own_kafka.address, "--postgres", postgres_url, "--redis", redis_url]
    own_stack.run("up", "--empty", "--detach", *addresses, "--influx", influx.url, timeout_s=180)
    assert {service["name"]: service["kind"] for service in own_stack.status["services"]} == {
        **dict.fromkeys(SERVERS, "external"),
        **dict.fromkeys(PROCESSES, "process"),
    }
    assert own_stack.environment("CLASSPULSE_POSTGRES_URL") == postgres_url
    event = {"student_id": "s1", "course_id": "c1", "kind": "code_run", "occurred_at": "2026-01-15T09:30:00+09:00"}
    async with Door(own_stack.dashboard, own_stack.api_key, patience_s=30) as door:
        assert (await door.post([event])).accepted == 1
    await own_stack.drained()
    own_stack.down()
    assert own_kafka.running
    assert postgres.running
    assert answers.redis(valkey.host, valkey.port)


def test_what_cannot_be_started_is_told_and_nothing_is_left(own_stack: RunningStack) -> None:
    """A gateway that does not understand its settings."""
    environment = {"CLASSPULSE_HOME": str(own_stack.home), "CLASSPULSE_CACHE": str(CACHE)}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "up", "--empty", "--detach"],
        cwd=PROJECT,
        env={**os.environ, **environment, "CLASSPULSE_LIVE_VIEWERS_MAX": "many"},
        capture_output=True,
        text=True,
        timeout=180 * PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "gateway ended with exit code" in done.stderr
    assert "live_viewers_max" in done.stderr.lower()
    assert own_stack.status["state"] == "stopped"
    assert "live_viewers_max" in own_stack.status["error"].lower()


def test_an_address_that_is_none_is_refused_at_once(own_stack: RunningStack) -> None:
    with pytest.raises(AssertionError, match="the address of valkey is not redis://"):
        own_stack.run("up", "--detach", "--redis", f"127.0.0.1:{ports.free()}")
