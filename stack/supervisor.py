"""Starts the parts of a plan, each when those it needs are ready, keeps them running, and stops them in reverse.

One thread a part starts it, watches it, starts it again, and stops it, because starting blocks. (The leash of the
children is tied to the thread that forks: `child` has one of its own for that.)
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from stack import child
from stack.errors import StackError
from stack.external import External
from stack.hearing import Hearing
from stack.plan import Part
from stack.processes import Task
from stack.server import Server
from stack.state import Board, Condition, Service

FIRST_PAUSE_S = 0.3  # before it is started again; doubles with every death
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0  # having run so long, the next death counts as the first
STOP_WAIT_S = 90.0  # for one part to stop; Kafka's first stop may take 60
PREPARING_WAIT_S = 2.0  # for one that has no process yet: it downloads, or unpacks

_POLL_S = 0.1


class Supervisor:
    """`say` gets what an operator must know: deaths, with last lines and what happens next. Called from any thread."""

    def __init__(self, parts: Sequence[Part], board: Board, say: Callable[[str], None]) -> None:
        self._parts = tuple(parts)
        self._board = board
        self._say = say
        self._ready = {part.name: threading.Event() for part in parts}
        self._leave = {part.name: threading.Event() for part in parts}
        self._starting: set[str] = set()  # those whose thread is within `start`
        self._threads = {
            part.name: threading.Thread(target=self._keep, args=(part,), name=part.name, daemon=True) for part in parts
        }
        self.failure: StackError | None = None  # something could not be started at all: the rest should be stopped
        with board.change() as run:
            run.services += [_row(part) for part in parts]

    def start(self) -> None:
        """Returns at once."""
        for part in self._parts:
            if isinstance(part.service, Server):
                part.service.progress = partial(self._progress, part.name)
            self._threads[part.name].start()

    @property
    def ready(self) -> bool:
        """Whether every part has been ready once."""
        return all(ready.is_set() for ready in self._ready.values())

    def stop(self) -> None:
        """Ends everything, those that need others first; of one that is just being started, the start is broken off.
        Blocks until all is gone."""
        for level in reversed(levels(self._parts)):
            for part in level:
                self._leave[part.name].set()
            for part in level:
                self._join(part)

    def hurry(self) -> None:
        """SIGKILL to everything, while `stop` waits. Safe in a signal handler."""
        for part in self._parts:
            _kill(part)

    def _keep(self, part: Part) -> None:
        leave = self._leave[part.name]
        try:
            for needed in part.after:
                while not self._ready[needed].wait(_POLL_S):
                    if leave.is_set():
                        return
            self._start(part)
            if isinstance(part.service, Server):
                self._watch(part, part.service, leave)
        except StackError as error:
            if not leave.is_set():
                self._fail(part, error)
        except Exception as error:  # a fault of ours: told like any other, not left to a silent thread
            self._fail(part, StackError(f"{part.name}: {error!r}"))
        finally:
            self._stop(part)

    def _start(self, part: Part, state: Condition = "starting") -> None:
        began = time.monotonic()
        with self._board.service(part.name) as row:
            row.state = state
        self._starting.add(part.name)
        try:
            if self._leave[part.name].is_set():
                raise StackError(f"{part.name}: stopped before it was started")
            part.service.start()
        except (OSError, subprocess.SubprocessError) as error:
            raise StackError(f"{part.name} cannot be started: {error}") from error
        finally:
            self._starting.discard(part.name)
        with self._board.service(part.name) as row:
            row.state = "done" if isinstance(part.service, Task) else "ready"
            row.pid = part.service.pid if isinstance(part.service, Server) else None
            row.took_s = round(time.monotonic() - began, 2)
            row.detail, row.have, row.want = "", 0, 0
        self._ready[part.name].set()

    def _stop(self, part: Part) -> None:
        with self._board.service(part.name) as row:
            if row.state in ("failed", "done"):
                return
            row.state, row.detail, row.have, row.want = "stopping", "", 0, 0
        part.service.stop()
        with self._board.service(part.name) as row:
            row.state, row.pid, row.took_s = "stopped", None, None

    def _watch(self, part: Part, server: Server, leave: threading.Event) -> None:
        """Starts it again whenever it has ended, or does not answer any more, until it is told to leave."""
        pause_s = FIRST_PAUSE_S
        since = time.monotonic()
        trouble: StackError | None = None
        hearing = None if server.deaf_after_s is None else Hearing(server.deaf_after_s)
        while not leave.wait(_POLL_S):
            if server.running:
                if hearing is None or not _is_deaf(server, hearing) or leave.is_set():
                    continue
                trouble = _killed(server, hearing.deaf_s)
            if time.monotonic() - since > STEADY_S:
                pause_s = FIRST_PAUSE_S
            self._tell(part, trouble or server.died(), pause_s)
            if leave.wait(random.uniform(pause_s / 2, pause_s)):  # noqa: S311 - jitter, not a secret
                return
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            try:
                self._start(part, "restarting")
                trouble = None
            except StackError as error:
                trouble = error
            since = time.monotonic()
            if hearing is not None:
                hearing.began()

    def _tell(self, part: Part, error: StackError, pause_s: float) -> None:
        with self._board.service(part.name) as row:
            row.state, row.pid = "restarting", None
            row.detail = _brief(error)
            row.restarts += 1
        self._say(f"{error}\n{part.name} is started again, within {pause_s:.1f} s")

    def _fail(self, part: Part, error: StackError) -> None:
        with self._board.change() as run:
            if self.failure is None:
                self.failure = error
                run.error = str(error)
            row = run.service(part.name)
            if row is not None:
                row.state, row.pid, row.detail = "failed", None, _brief(error)

    def _join(self, part: Part) -> None:
        """Waits until its thread has stopped it, but not for a network: the thread is a daemon."""
        began = time.monotonic()
        patience_s = 0.0 if isinstance(part.service, External) else STOP_WAIT_S
        while self._threads[part.name].is_alive() and time.monotonic() - began < patience_s:
            if part.name in self._starting and not _kill(part):
                patience_s = PREPARING_WAIT_S
            self._threads[part.name].join(_POLL_S)

    def _progress(self, name: str, what: str, have: int, want: int) -> None:
        if self._leave[name].is_set():
            raise StackError(f"{name}: stopped before it was ready")
        self._board.progress(name, f"downloading {what}" if want else what, have, want)


def levels(parts: Sequence[Part]) -> list[list[Part]]:
    """Each part in the first level that comes after all it needs. Raises StackError where that cannot be."""
    found: list[list[Part]] = []
    placed: set[str] = set()
    while len(placed) < len(parts):
        level = [part for part in parts if part.name not in placed and part.after <= placed]
        if not level:
            waiting = {part.name: sorted(part.after - placed) for part in parts if part.name not in placed}
            raise StackError(f"these wait for what never comes: {waiting}")
        found.append(level)
        placed |= {part.name for part in level}
    return found


def _is_deaf(server: Server, hearing: Hearing) -> bool:
    """Blocks for as long as it takes to answer."""
    if not hearing.is_due(time.monotonic()):
        return False
    answered = server.lives()
    return hearing.heard(answered, time.monotonic()) and server.running


def _killed(server: Server, deaf_s: float) -> StackError:
    server.last_words()
    lines = server.tail()
    pid = server.pid
    server.kill()
    return StackError(
        f"{server.name} (pid {pid}) has not said that it lives for {deaf_s:.0f} s, and was killed. "
        f"Its last lines ({server.log}):",
        lines=lines,
    )


def _kill(part: Part) -> bool:
    """SIGKILL, whatever its thread does. False where it has no process."""
    pid = None if isinstance(part.service, External) else child.running_pid(part.service.pid_file)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def _brief(error: StackError) -> str:
    """Without "Its last lines …": there is one line for it."""
    return error.message.partition(". Its last lines")[0]


def _row(part: Part) -> Service:
    row = Service(name=part.name, kind=part.kind)
    if isinstance(part.service, Server):
        row.host, row.log = part.service.host, str(part.service.log)
        if part.service.port:
            row.port, row.address = part.service.port, part.service.address
    elif isinstance(part.service, Task):
        row.log = str(part.service.log)
    else:
        row.address = part.service.address
    return row
