"""The whole stack as `classpulse up` starts it, with the demo classroom, in a folder of its own; and what it says."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench import broker
from bench.harness import PROJECT, BenchError
from stack import child, state
from stack.home import Home
from stack.state import Run, Service

READY_S_MAX = 240.0
ANSWER_S_MAX = 20.0
WELL_S_MAX = 180.0  # until it is well
CALM_S = 5.0  # that it must have been
CALM_POLL_S = 0.2
_POLL_S = 0.1


def is_well(status: Any) -> bool:
    return bool(status["verdict"] == "ok")


class Door:
    def __init__(self, dashboard: str, key_file: Path) -> None:
        self._url = f"{dashboard.rstrip('/')}/api/v1/events"
        self._key = key_file.read_text().strip()

    def post(self, course: str) -> None:
        """One event of now, of a student of that course. Blocks until it is accepted."""
        event = {
            "student_id": f"{course}-s",
            "course_id": course,
            "kind": "session_started",
            "occurred_at": datetime.now(UTC).isoformat(),
        }
        request = urllib.request.Request(  # noqa: S310 -- the stack's own address
            self._url,
            json.dumps([event]).encode(),
            {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=ANSWER_S_MAX) as answer:  # noqa: S310
            if answer.status != 202:
                raise BenchError(f"the door answers {answer.status}: {answer.read(500)!r}")


class House:
    def __init__(self, folder: Path, **settings: str) -> None:
        """`settings`: CLASSPULSE_* for all its processes."""
        self.home = Home(folder, broker.CACHE.absolute())
        self.environment = {
            **os.environ,
            **settings,
            "CLASSPULSE_HOME": str(folder),
            "CLASSPULSE_CACHE": str(self.home.cache),
        }

    def run(self, *words: str) -> str:
        """A classpulse command; its output. Raises BenchError where it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=READY_S_MAX,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"classpulse {' '.join(words)}: {done.stdout[-1000:]}\n{done.stderr[-1000:]}")
        return done.stdout

    @property
    def told(self) -> Run:
        return state.read(self.home)

    def service(self, name: str) -> Service:
        """Raises BenchError where there is none of this name."""
        found = self.told.service(name)
        if found is None:
            raise BenchError(f"the stack has no {name}")
        return found

    @property
    def port(self) -> int:
        """The gateway's."""
        return int(self.told.dashboard.rstrip("/").rpartition(":")[2])

    def ask(self, path: str, within_s: float = ANSWER_S_MAX) -> Any:
        """The gateway's JSON; None where it does not answer, or not well."""
        request = urllib.request.Request(  # noqa: S310 -- the stack's own address
            f"{self.told.dashboard}{path}", headers={"Authorization": f"Bearer {self._key_file.read_text().strip()}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=within_s) as answer:  # noqa: S310
                return json.load(answer)
        except (OSError, ValueError, urllib.error.URLError):
            return None

    @property
    def _key_file(self) -> Path:
        """An admin's."""
        return self.home.folder / "on-call.key"

    def up(self) -> None:
        """Blocks some 20 s."""
        self.run("up", "--detach")
        self.run("keys", "create", "on-call", "--admin", "--ensure", "--file", str(self._key_file))

    def door(self) -> Door:
        return Door(self.told.dashboard, self.home.demo_key_file)

    def status(self) -> Any:
        """What is wrong, and since when; None where nobody says."""
        return self.ask("api/v1/admin/system-status")

    def until_calm(self) -> None:
        """Raises BenchError where it does not become well and stay so for a while."""
        since_s = well_s = time.monotonic()
        while time.monotonic() - well_s < CALM_S:
            status = self.status()
            if status is None or not is_well(status):
                well_s = time.monotonic()
                if well_s - since_s > WELL_S_MAX:
                    raise BenchError(f"the stack is not well: {status and status['says']}")
            time.sleep(CALM_POLL_S)

    # --- what is done to it ---

    def process(self, name: str) -> psutil.Process:
        """Raises BenchError where it has none."""
        pid = child.running_pid(self._pid_file(name))
        if pid is None:
            raise BenchError(f"{name} does not run")
        return psutil.Process(pid)

    def family(self, name: str) -> list[psutil.Process]:
        """With what it started: of PostgreSQL each connection has a process."""
        parent = self.process(name)
        return [parent, *parent.children(recursive=True)]

    def kill(self, name: str) -> None:
        """SIGKILL. Returns when it is gone."""
        process = self.process(name)
        process.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            while process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(_POLL_S)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """It does not run, and its connections stay open."""
        family = self.family(name)
        for process in family:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def unattended(self) -> Iterator[None]:
        """What ends is not started again; it is afterwards."""
        launcher = self.home.launcher_pid
        if launcher is None:
            raise BenchError("the stack does not run")
        os.kill(launcher, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(launcher, signal.SIGCONT)

    def until_ready(self, name: str, but: int | None = None) -> None:
        """`but`: the pid of one that does not count. Raises BenchError where it does not come."""
        until_s = time.monotonic() + READY_S_MAX
        while (row := self.service(name)).state != "ready" or row.pid == but:
            if time.monotonic() > until_s:
                raise BenchError(f"{name} is {row.state} after {READY_S_MAX:.0f} s: {row.detail}")
            time.sleep(_POLL_S)

    def _pid_file(self, name: str) -> Path:
        ours = self.home.processes / f"{name}.pid"
        return ours if ours.exists() else self.home.folder / name / f"{name}.pid"


@contextlib.contextmanager
def running(**settings: str) -> Iterator[House]:
    """Started; gone with its folder afterwards. Blocks some 20 s."""
    folder = Path(tempfile.mkdtemp(prefix="classpulse-bench-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as somebody else
    house = House(folder, **settings)
    try:
        house.up()
        yield house
    finally:
        house.run("down")
        shutil.rmtree(folder, ignore_errors=True)
