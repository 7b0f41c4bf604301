"""A real server as a child: prepared, started, awaited until it answers, stopped, started again on the same data."""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from stack import child, ports
from stack.child import Child
from stack.errors import StackError

CACHE = Path(".classpulse/cache")
Progress = Callable[[str, int, int], None]  # what is being done, done so far, of how much (bytes)

_POLL_S = 0.03


def quiet(_what: str, _done: int, _total: int) -> None:
    """No progress is shown."""


class Server(ABC):
    """`home` is this server's own folder; the same home and port start it again on the same data.

    `cache` is shared between homes and processes: what was downloaded and unpacked. start, stop and kill block and are
    not safe to call from several threads at once; different servers may be started from different threads.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout_s: ClassVar[float] = 20.0
    deaf_after_s: ClassVar[float | None] = (
        None  # one that does not say that it lives for so long is killed; None: never
    )

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        *,
        cache: Path = CACHE,
        log: Path | None = None,
        progress: Progress = quiet,
    ) -> None:
        self.home = home.absolute()
        self.cache = cache.absolute()
        self.port = ports.free() if port is None else port
        self.log = (log or home / f"{self.name}.log").absolute()
        self.progress = progress
        self._child: Child | None = None

    @property
    def host(self) -> str:
        return ports.HOST

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def pid_file(self) -> Path:
        return self.home / f"{self.name}.pid"

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self, timeout_s: float = 60.0) -> None:
        """Blocks until it answers. Downloads, the first time, are not counted into `timeout_s`.

        A process left over in this home by a launcher that died is ended first. Raises StackError; then nothing runs.
        """
        if self.running:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        child.end(self.pid_file, self.stop_signal, self.stop_timeout_s)
        self.prepare()
        if not ports.is_free(self.port):
            raise StackError(
                f"{self.name}: port {self.port} is taken by another program",
                advice="end that program, or choose another port",
            )
        self._child = Child(
            self.name,
            self.command(),
            log=self.log,
            pid_file=self.pid_file,
            env=self.environment(),
            cwd=self.home,
            user=self.user(),
            stop_signal=self.stop_signal,
        )
        self._child.start()
        try:
            self._await(self._child, time.monotonic() + timeout_s)
            self.settle()
        except BaseException:
            self._child.kill()
            raise

    def stop(self) -> None:
        """Asks it to stop, waits, kills it where it does not."""
        if self._child is not None:
            self._child.stop(self.stop_timeout_s)

    def kill(self) -> None:
        """SIGKILL, as a crash would: nothing is flushed."""
        if self._child is not None:
            self._child.kill()

    def tail(self, lines: int = child.TAIL_LINES) -> list[str]:
        """The last lines of its log since its last start."""
        return child.tail(self.log, lines) if self._child is None else self._child.tail(lines)

    def died(self) -> StackError:
        """What to raise when it ended by itself."""
        if self._child is None:
            return StackError(f"{self.name} was never started")
        return self._child.died()

    def prepare(self) -> None:  # noqa: B027 - nothing, for a server that needs nothing
        """Everything before the process exists: parts, configuration, empty data. May download. Raises StackError."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work now, not only listens."""

    def lives(self) -> bool:
        """Whether it says so, asked while it runs."""
        return True

    def last_words(self) -> None:  # noqa: B027 - a server of somebody else's has none
        """What it can still say into its log before it is killed for not answering."""

    def settle(self) -> None:  # noqa: B027
        """What is asked of it once it answers for the first time. Raises StackError."""

    def environment(self) -> dict[str, str]:
        """Nothing of the launcher's that could change what the server does."""
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}

    def user(self) -> tuple[int, int] | None:
        """uid and gid to run as; None: the launcher's."""
        return None

    def _await(self, process: Child, deadline: float) -> None:
        while not self.answers():
            if not process.running:
                raise process.died()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} does not answer at {self.address}. Its last lines ({self.log}):",
                    advice="the machine may be too busy or short of memory: `classpulse doctor` looks",
                    lines=process.tail(),
                )
            time.sleep(_POLL_S)
