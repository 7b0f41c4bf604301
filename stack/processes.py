"""Our own processes as children: the gateway, the workers, the demo classroom, and commands that run once."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from stack import answers, child
from stack.child import Child
from stack.errors import StackError
from stack.hearing import ANSWER_WITHIN_S
from stack.server import Server
from wire import workers

READY_TIMEOUT_S = 600.0  # a worker reads its tables back from Kafka first; one that ends is noticed at once
LAST_WORDS_S = 0.5
TASK_TIMEOUT_S = 120.0  # the slowest, a first `db migrate`, takes 2 s; a broker is waited for up to 30 s


class Process(Server):
    """Ready when its /readyz says 200. Its settings come on top of the launcher's own environment."""

    module: ClassVar[str]
    stop_timeout_s: ClassVar[float] = 30.0  # finish what was taken and commit it, as in docker-compose.yml
    # Longer than a worker needs to find out by itself that its loop is blocked.
    deaf_after_s: ClassVar[float | None] = 45.0

    def __init__(self, home: Path, port: int, *, log: Path, settings: Mapping[str, str]) -> None:
        super().__init__(home, port, log=log)
        self.settings = dict(settings)

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        super().start(timeout_s)

    def command(self) -> list[str]:
        return [sys.executable, "-m", self.module]

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings}

    def answers(self) -> bool:
        """Tells `progress` why it is not ready yet, where it says so."""
        status, told = answers.http_json(f"http://{self.address}/readyz") or (None, None)
        if status != 200 and isinstance(told, dict):
            self.progress("; ".join(told.get("reasons", [])) or str(told.get("reason", "")), 0, 0)
        return status == 200

    def lives(self) -> bool:
        """Whatever the answer is: an overloaded gateway refuses, and turns."""
        return answers.http_status(f"http://{self.address}/livez", ANSWER_WITHIN_S) is not None

    def last_words(self) -> None:
        """Where its threads are, which the interpreter says without any of them."""
        if self._child is not None and self._child.running:
            self._child.signal(signal.SIGQUIT)
            time.sleep(LAST_WORDS_S)

    def died(self) -> StackError:
        died = super().died()
        code = None if self._child is None else self._child.exit_code
        if code in workers.EXITS:
            died.message = died.message.replace(f"exit code {code}", f"exit code {code} ({workers.EXITS[code]})", 1)
        return died


class Gateway(Process):
    name: ClassVar[str] = "gateway"
    module: ClassVar[str] = "gateway"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "CLASSPULSE_GATEWAY_PORT": str(self.port)}


class Worker(Process):
    def environment(self) -> dict[str, str]:
        return {**super().environment(), "CLASSPULSE_WORKER_PORT": str(self.port)}


class Aggregate(Worker):
    name: ClassVar[str] = "aggregate"
    module: ClassVar[str] = "pipelines.aggregate.app"


class Live(Worker):
    name: ClassVar[str] = "live"
    module: ClassVar[str] = "pipelines.live.app"


class History(Worker):
    name: ClassVar[str] = "history"
    module: ClassVar[str] = "pipelines.history.app"


class Demo(Process):
    """The demo classroom. It serves nothing, so it is ready when it runs."""

    name: ClassVar[str] = "demo"
    module: ClassVar[str] = "cli.main"
    deaf_after_s: ClassVar[float | None] = None

    def __init__(self, home: Path, gateway: str, *, key_file: Path, log: Path, settings: Mapping[str, str]) -> None:
        super().__init__(home, 0, log=log, settings=settings)
        self._arguments = ["demo", "run", "--url", gateway, "--key-file", str(key_file)]

    def command(self) -> list[str]:
        return [*super().command(), *self._arguments]

    def answers(self) -> bool:
        return True


class Task:
    """A classpulse command that runs once, to its end."""

    def __init__(self, name: str, arguments: Sequence[str], home: Path, *, log: Path, settings: Mapping[str, str]):
        self.name = name
        self.log = log
        self.pid_file = home / f"{name}.pid"
        self._child = Child(
            name,
            [sys.executable, "-m", "cli.main", *arguments],
            log=log,
            pid_file=self.pid_file,
            env={**os.environ, **settings},
            cwd=home,
        )

    def start(self) -> None:
        """Blocks until it is done. Raises StackError where it fails."""
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        child.end(self.pid_file)
        self._child.start()
        in_time = child.wait_until(lambda: not self._child.running, TASK_TIMEOUT_S)
        failed = self._child.exit_code != 0
        self._child.kill()  # nothing happens where it has ended, but that its pid file goes
        if not in_time:
            raise StackError(
                f"{self.name} is not done after {TASK_TIMEOUT_S:g} s ({self.log})", lines=self._child.tail()
            )
        if failed:
            raise self._child.died()

    def stop(self) -> None:
        """Nothing: start returns when it is done."""
