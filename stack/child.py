"""One process of ours: on a leash, with a log, and with a pid file the next launcher can trust.

A pid alone names nobody, because pids come round again; the pid file also holds when the process was started.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import psutil

from stack.errors import StackError

LEASH = Path(__file__).with_name("leash.py")
LOG_BYTES_MAX = 20 * 2**20  # a log is set aside as `.1` at the next start when it is larger
TAIL_LINES = 12
_POLL_S = 0.02


class Child:
    """A command, started and stopped as often as you like. Not safe for calls from several threads at once."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        pid_file: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: tuple[int, int] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """`user`: uid and gid to run as, which takes root."""
        self.name = name
        self.command = tuple(command)
        self.log = log
        self.pid_file = pid_file
        self.stop_signal = stop_signal
        self._env = env
        self._cwd = cwd
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Returns when the process exists, not when it is ready. Raises StackError where it cannot be run."""
        if self.running:
            raise StackError(f"{self.name} already runs, as pid {self.pid}")
        program = shutil.which(self.command[0])
        if program is None:
            raise StackError(f"{self.name}: {self.command[0]} is not there or cannot be executed")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_BYTES_MAX:
                self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        uid, gid = self._user or (-1, -1)
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(uid), str(gid)]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._process = _spawner.run(
                    lambda: subprocess.Popen(
                        [*leash, program, *self.command[1:]],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=None if self._env is None else dict(self._env),
                        cwd=self._cwd,
                        start_new_session=True,  # Ctrl-C is for the launcher, who stops its children in order
                    )
                )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started: {error}") from error
        write_pid_file(self.pid_file, self._process.pid)

    @property
    def pid(self) -> int | None:
        """Of the process that runs, or of the last one that did."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs or was never started; negative: the signal that ended it."""
        return None if self._process is None else self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self, timeout_s: float = 15.0) -> None:
        """Asks it to stop, and kills it where it has not after `timeout_s`. Blocks until it is gone."""
        if self._process is None:
            return
        self._process.send_signal(self.stop_signal)  # nothing happens where it has ended
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL. Blocks until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self.pid_file.unlink(missing_ok=True)

    def tail(self, lines: int = TAIL_LINES) -> list[str]:
        """The last lines it wrote since its last start."""
        return tail(self.log, lines, self._log_start)

    def died(self) -> StackError:
        """What to raise when it ended by itself."""
        code = self.exit_code or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return StackError(f"{self.name} {how}. Its last lines ({self.log}):", lines=self.tail())


def tail(log: Path, lines: int = TAIL_LINES, since_byte: int = 0) -> list[str]:
    """The last lines of a file, at most the last 64 KiB of it; none where there is no file."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(min(since_byte, size), size - 65_536))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def identity(pid: int) -> str | None:
    """What tells this process from a later one of the same pid; None where none runs (a zombie does not run)."""
    if sys.platform == "linux":
        # Ticks since boot: psutil's create_time moves with the wall clock.
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        fields = stat[stat.rindex(")") + 2 :].split()
        return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def write_pid_file(file: Path, pid: int) -> None:
    """One that was killed half way leaves the old file or the new one, never half of one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"pid": pid, "started": identity(pid)}))
    temporary.replace(file)


def running_pid(file: Path) -> int | None:
    """The pid in the file, where that very process still runs."""
    try:
        found = json.loads(file.read_text())
        pid, started = int(found["pid"]), found["started"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return pid if started is not None and identity(pid) == started else None


def end(file: Path, stop_signal: signal.Signals = signal.SIGTERM, timeout_s: float = 15.0) -> int | None:
    """Ends the process of a pid file, whoever started it, and removes the file. Blocks until it is gone.

    Returns its pid, None where nothing ran. Raises StackError where it may not or will not end.
    """
    pid = running_pid(file)
    if pid is not None:
        for number, patience_s in ((stop_signal, timeout_s), (signal.SIGKILL, 10.0)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                break
            except PermissionError:
                raise StackError(
                    f"process {pid} of {file} belongs to another user", advice="end it as that user, or as root"
                ) from None
            if wait_until(lambda: running_pid(file) is None, patience_s):
                break
        else:
            raise StackError(f"process {pid} of {file} does not end, not even by SIGKILL")
    file.unlink(missing_ok=True)
    return pid


def wait_until(condition: Callable[[], bool], timeout_s: float, poll_s: float = _POLL_S) -> bool:
    """Blocks until the condition holds; False where it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True


class _Spawner:
    """Starts every process from one thread that never ends.

    The leash (PR_SET_PDEATHSIG) is tied to the thread that forked, not to its process: a child started by a worker
    thread would be killed when that thread is done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._jobs = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, start: Callable[[], "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="spawner", daemon=True)
                self._thread.start()
        done: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((start, done))
        return done.result()

    def _loop(self) -> None:
        while True:
            start, done = self._jobs.get()
            try:
                done.set_result(start())
            except BaseException as error:
                done.set_exception(error)


_spawner = _Spawner()
