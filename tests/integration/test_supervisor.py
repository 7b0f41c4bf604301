"""The supervisor with real small children: order, restarts, failures, and an end that leaves nothing."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from running import eventually

from stack import answers, child, ports
from stack.home import Home
from stack.plan import Part
from stack.processes import Process, Task
from stack.server import Server
from stack.state import Board, Service
from stack.supervisor import Supervisor

# Writes down when it starts and stops, so that the order of several is seen. Does not start while `broken` is there.
SCRIPT = """
import http.server, pathlib, signal, sys, threading
name, port, here = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
def note(what):
    with (here / "notes").open("a") as notes:
        notes.write(f"{what} {name}\\n")
if (here / f"{name}.broken").exists():
    sys.exit(f"{name} cannot start")
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if (here / f"{name}.busy").exists() else 200)
        self.end_headers()
        self.wfile.write(b'{"reasons": ["reads its tables"]}')
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", port), Answer)
def stop(*_):
    if not (here / f"{name}.deaf").exists():
        note("stop")
        threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, stop)
note("start")
print(f"{name} serves", flush=True)
server.serve_forever()
"""


class Small(Server):
    def __init__(self, name: str, home: Path) -> None:
        super().__init__(home, ports.free(), log=home / f"{name}.log")
        self.called = name

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.called

    def command(self) -> list[str]:
        return [sys.executable, "-c", SCRIPT, self.name, str(self.port), str(self.home)]

    def answers(self) -> bool:
        return answers.http_status(f"http://{self.address}/") == 200


class Stage:
    """A supervisor, what it said, and ways to ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.parts: list[Part] = []
        self.board = Board(Home(folder, folder))
        self.supervisor: Supervisor | None = None

    def add(self, name: str, *after: str) -> Small:
        small = Small(name, self.folder)
        self.parts.append(Part(small, frozenset(after)))
        return small

    def start(self) -> Supervisor:
        self.supervisor = Supervisor(self.parts, self.board, self.said.append)
        self.supervisor.start()
        return self.supervisor

    async def ready(self) -> Supervisor:
        started = self.start()
        await self.until(lambda: started.ready, "every part is ready")
        return started

    def row(self, name: str) -> Service:
        found = self.board.run.service(name)
        assert found is not None
        return found

    def mark(self, name: str, how: str) -> Path:
        file = self.folder / f"{name}.{how}"
        file.touch()
        return file

    def left(self) -> list[str]:
        """Of whose processes there is one."""
        return [file.stem for file in self.folder.glob("*.pid") if child.running_pid(file) is not None]

    @property
    def notes(self) -> list[str]:
        file = self.folder / "notes"
        return file.read_text().splitlines() if file.exists() else []

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        async def ask() -> bool:
            return bool(holds())

        await eventually(ask, 20, what)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    if stage.supervisor is not None:
        stage.supervisor.hurry()
        await asyncio.to_thread(stage.supervisor.stop)
    assert stage.left() == []


async def test_each_starts_after_those_it_needs_and_stops_before_them(stage: Stage) -> None:
    stage.add("page", "door", "store")
    stage.add("door", "broker")
    stage.add("store")
    stage.add("broker")
    supervisor = await stage.ready()
    started = stage.notes
    assert sorted(started) == ["start broker", "start door", "start page", "start store"]
    assert started.index("start broker") < started.index("start door") < started.index("start page")
    assert started.index("start store") < started.index("start page")
    await asyncio.to_thread(supervisor.stop)
    stopped = stage.notes[4:]
    assert stopped[0] == "stop page"
    assert stopped.index("stop door") < stopped.index("stop broker")
    assert {row.state for row in stage.board.run.services} == {"stopped"}


async def test_one_that_is_killed_is_started_again_and_its_last_lines_are_told(stage: Stage) -> None:
    worker = stage.add("worker")
    await stage.ready()
    first = worker.pid
    assert first == stage.row("worker").pid
    psutil.Process(first).kill()
    await stage.until(lambda: stage.row("worker").state == "ready" and stage.row("worker").pid != first, "it is back")
    assert stage.row("worker").restarts == 1
    (told,) = stage.said
    assert "worker was ended by SIGKILL" in told
    assert "worker serves" in told


async def test_one_that_cannot_start_again_is_tried_until_it_can(stage: Stage) -> None:
    worker = stage.add("worker")
    other = stage.add("other")
    supervisor = await stage.ready()
    broken = stage.mark("worker", "broken")
    worker.kill()
    await stage.until(lambda: stage.row("worker").restarts >= 3, "it is tried several times")
    assert stage.row("worker").state == "restarting"
    assert "exit code 1" in stage.row("worker").detail
    assert "worker cannot start" in stage.said[-1]
    assert other.running
    broken.unlink()
    await stage.until(lambda: stage.row("worker").state == "ready", "it is back")
    assert supervisor.failure is None


async def test_one_that_never_starts_is_a_failure_with_its_last_lines(stage: Stage) -> None:
    stage.mark("door", "broken")
    stage.add("broker")
    stage.add("door", "broker")
    stage.add("page", "door")
    supervisor = stage.start()
    await stage.until(lambda: supervisor.failure, "the failure is told")
    assert not supervisor.ready
    assert "door ended with exit code 1" in str(supervisor.failure)
    assert "door cannot start" in str(supervisor.failure)
    await asyncio.to_thread(supervisor.stop)
    assert {row.name: row.state for row in stage.board.run.services} == {
        "broker": "stopped",
        "door": "failed",
        "page": "stopped",
    }
    assert "start page" not in stage.notes


async def test_a_start_that_takes_long_is_broken_off(stage: Stage) -> None:
    stage.mark("slow", "busy")
    stage.mark("slow", "deaf")
    slow = stage.add("slow")
    supervisor = stage.start()
    await stage.until(lambda: "start slow" in stage.notes, "it runs, and is not ready")
    await asyncio.to_thread(supervisor.stop)
    assert not slow.running
    assert supervisor.failure is None
    assert stage.said == []


async def test_one_that_does_not_stop_is_killed_when_the_operator_hurries(stage: Stage) -> None:
    stage.mark("deaf", "deaf")
    deaf = stage.add("deaf")
    supervisor = await stage.ready()
    stopping = asyncio.create_task(asyncio.to_thread(supervisor.stop))
    await stage.until(lambda: stage.row("deaf").state == "stopping", "it is asked to stop")
    supervisor.hurry()
    await stopping
    assert not deaf.running


def _task(stage: Stage, name: str, *arguments: str, after: str = "") -> Task:
    task = Task(name, arguments, stage.folder, log=stage.folder / f"{name}.log", settings={"COLUMNS": "200"})
    stage.parts.append(Part(task, frozenset({after} if after else ())))
    return task


async def test_a_task_is_done_before_those_that_need_it_start(stage: Stage) -> None:
    _task(stage, "school", "demo", "roster", "--out", str(stage.folder / "roster.csv"))
    stage.add("page", "school")
    await stage.ready()
    assert (stage.folder / "roster.csv").exists()
    assert (stage.row("school").state, stage.row("page").state) == ("done", "ready")


async def test_a_task_that_fails_is_a_failure_with_what_it_said(stage: Stage) -> None:
    _task(stage, "school", "demo", "roster", "--out", str(stage.folder / "none" / "roster.csv"))
    supervisor = stage.start()
    await stage.until(lambda: supervisor.failure, "the failure is told")
    assert "school ended with exit code 1" in str(supervisor.failure)
    assert "No such file" in str(supervisor.failure)


async def test_children_die_with_the_launcher(tmp_path: Path) -> None:
    """Though started by a thread that has ended, which alone must not end it."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells children of their parent's death; elsewhere the next `up` ends them")
    script = f"""
import pathlib, threading, time
from stack.child import Child
here = pathlib.Path({str(tmp_path)!r})
made = Child("sleeper", ["sleep", "600"], log=here / "log", pid_file=here / "sleeper.pid")
thread = threading.Thread(target=made.start)
thread.start()
thread.join()
(here / "started").touch()
time.sleep(600)
"""
    launcher = await asyncio.create_subprocess_exec(sys.executable, "-c", script)

    async def holds(condition: Callable[[], bool]) -> bool:
        return condition()

    try:
        await eventually(lambda: holds((tmp_path / "started").exists), 20, "the child was started")
        assert child.running_pid(tmp_path / "sleeper.pid") is not None
    finally:
        launcher.kill()
        await launcher.wait()
    await eventually(
        lambda: holds(lambda: child.running_pid(tmp_path / "sleeper.pid") is None), 20, "the child is gone"
    )


class Busy(Process):
    name = "busy"

    def command(self) -> list[str]:
        return [sys.executable, "-c", SCRIPT, self.name, str(self.port), str(self.home)]


async def test_why_a_process_is_not_ready_yet_is_shown(stage: Stage) -> None:
    process = Busy(stage.folder, ports.free(), log=stage.folder / "busy.log", settings={})
    stage.parts.append(Part(process))
    busy = stage.mark("busy", "busy")
    supervisor = stage.start()
    await stage.until(lambda: stage.row("busy").detail == "reads its tables", "its reason is shown")
    assert stage.row("busy").state == "starting"
    busy.unlink()
    await stage.until(lambda: supervisor.ready, "it is ready")
    assert (stage.row("busy").state, stage.row("busy").detail) == ("ready", "")


class Frozen(Process):
    name = "frozen"
    deaf_after_s = 4.0

    def command(self) -> list[str]:
        return [sys.executable, "-c", SCRIPT, self.name, str(self.port), str(self.home)]


async def test_one_that_runs_and_does_not_answer_is_killed_and_started_again(stage: Stage) -> None:
    process = Frozen(stage.folder, ports.free(), log=stage.folder / "frozen.log", settings={})
    stage.parts.append(Part(process))
    other = stage.add("other")
    await stage.ready()
    first, second = process.pid, other.pid
    assert first is not None
    psutil.Process(first).send_signal(signal.SIGSTOP)
    await stage.until(
        lambda: stage.row("frozen").state == "ready" and stage.row("frozen").pid != first, "another one is there"
    )
    assert not psutil.pid_exists(first)
    assert stage.row("frozen").restarts == 1
    assert other.pid == second
    (told,) = stage.said
    assert f"frozen (pid {first}) has not said that it lives for" in told
    assert "frozen serves" in told
