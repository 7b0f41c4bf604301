"""What runs here and how far it is: kept by the launcher, and read by everybody else from `HOME/run.json`.

The file holds tokens and database addresses, so only its owner may read it.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from stack.home import Home

WRITE_EVERY_S = 0.1  # while only a download's progress changes

Kind = Literal["server", "process", "external", "task"]
Condition = Literal["waiting", "starting", "ready", "done", "restarting", "stopping", "stopped", "failed"]


class Service(msgspec.Struct, kw_only=True):
    name: str
    kind: Kind
    state: Condition = "waiting"
    pid: int | None = None
    host: str | None = None
    port: int | None = None
    address: str = ""
    log: str = ""
    restarts: int = 0
    detail: str = ""
    took_s: float | None = None  # from its start until it was ready, or done
    have: int = 0  # of a download or an unpacking, in bytes
    want: int = 0


class Run(msgspec.Struct, kw_only=True):
    home: str
    state: Literal["starting", "running", "stopping", "stopped"] = "stopped"
    launcher_pid: int | None = None
    dashboard: str = ""
    demo_key_file: str = ""
    error: str = ""  # why it is stopped, where that was not asked for
    environment: dict[str, str] = {}
    services: list[Service] = []

    def service(self, name: str) -> Service | None:
        return next((service for service in self.services if service.name == name), None)


def read(home: Home) -> Run:
    """As it is now: where the launcher was killed, what it left written down is corrected. Never raises."""
    try:
        run = msgspec.json.decode(home.run_file.read_bytes(), type=Run)
    except (OSError, msgspec.DecodeError):  # none yet, or of another version
        run = Run(home=str(home.folder))
    if run.launcher_pid is None or run.launcher_pid != home.launcher_pid:
        if run.state != "stopped":
            run.error = "the launcher was killed"
        run.state, run.launcher_pid = "stopped", None
        for service in run.services:
            service.state, service.pid = "stopped", None
    return run


class Board:
    """The launcher's Run: changed by many threads, written down at each change. Blocks for a small file."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._run = Run(home=str(home.folder), state="starting", launcher_pid=os.getpid())
        self._written = 0.0

    @property
    def run(self) -> Run:
        """A copy."""
        with self._lock:
            return msgspec.json.decode(msgspec.json.encode(self._run), type=Run)

    @contextmanager
    def change(self) -> Iterator[Run]:
        with self._lock:
            yield self._run
            self._write()

    @contextmanager
    def service(self, name: str) -> Iterator[Service]:
        """Change one; KeyError where it was not added."""
        with self.change() as run:
            found = run.service(name)
            if found is None:
                raise KeyError(name)
            yield found

    def progress(self, name: str, what: str, have: int, want: int) -> None:
        with self._lock:
            found = self._run.service(name)
            if found is not None:
                found.detail, found.have, found.want = what, have, want
                if time.monotonic() > self._written + WRITE_EVERY_S:
                    self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        temporary = self._home.run_file.with_suffix(".new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(self._run))
        temporary.replace(self._home.run_file)
