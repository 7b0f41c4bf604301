"""The launcher's whole life, in the foreground or detached: one home, one plan, until it is asked to stop."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TypeVar

from stack import plan
from stack.errors import StackError
from stack.home import Home
from stack.plan import Elsewhere
from stack.state import Board, Run, Service
from stack.supervisor import Supervisor

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.1


class Asked:
    """Counts the signals that ask for an end: the first for an orderly one, the next ones for a quick one.

    A plain number, because a handler may come while any lock is held.
    """

    def __init__(self, hurry: Callable[[], None] = lambda: None) -> None:
        self.times = 0
        self.hurry = hurry

    def listen(self) -> None:
        """Main thread only. A signal ignored by whoever started us (nohup) stays ignored."""
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._heard)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self.times += 1
        if self.times > 1:
            self.hurry()


def launch(
    home: Home,
    elsewhere: Elsewhere,
    environment: Mapping[str, str],
    *,
    empty: bool,
    show: Callable[[Run], None],
    say: Callable[[str], None],
) -> None:
    """Blocks until a signal asks it to stop and everything has stopped; main thread only. Raises StackError where
    something cannot be started, after having stopped the rest.

    `show` gets the state while it starts and stops, ten times a second; `say` what an operator must know.
    """
    asked = Asked()
    asked.listen()
    with home.launching():
        board = Board(home)
        show, say = _unless_closed(show), _unless_closed(say)
        try:
            _run(home, elsewhere, environment, empty, board, asked, show, say)
        except StackError as error:
            with board.change() as run:
                run.error = str(error)
            raise
        finally:
            with board.change() as run:
                run.state, run.launcher_pid = "stopped", None
            show(board.run)


def leave(exit_code: int) -> None:
    """Ends this process now. Python would wait for the threads of a download that was broken off."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(exit_code)
    raise SystemExit(exit_code)


def _unless_closed(tell: Callable[[T], None]) -> Callable[[T], None]:
    """A terminal that was closed under us is no reason not to stop in order."""

    def told(what: T) -> None:
        with contextlib.suppress(OSError):
            tell(what)

    return told


def _run(
    home: Home,
    elsewhere: Elsewhere,
    environment: Mapping[str, str],
    empty: bool,
    board: Board,
    asked: Asked,
    show: Callable[[Run], None],
    say: Callable[[str], None],
) -> None:
    left = plan.end_leftovers(home)
    if left:
        say(f"ended what a launcher that was killed had left: {', '.join(left)}")

    def unpacking(what: str, have: int, want: int) -> None:
        if asked.times:
            raise StackError("stopped while it was unpacking")
        board.progress("influxd", f"unpacking {what}", have, want)
        show(board.run)

    with board.change() as run:
        run.services.append(Service(name="influxd", kind="server", state="starting"))
    show(board.run)
    planned = plan.build(home, elsewhere, environment, empty=empty, progress=unpacking)
    with board.change() as run:
        run.services.clear()
        if planned.no_influx:
            detail = "there is none here, so PostgreSQL keeps the history (`classpulse doctor` says more)"
            run.services.append(Service(name="influxd", kind="server", state="stopped", detail=detail))
        run.environment, run.dashboard = planned.settings, planned.dashboard
        run.demo_key_file = str(home.demo_key_file)

    supervisor = Supervisor(planned.parts, board, say)
    asked.hurry = supervisor.hurry
    supervisor.start()
    while not (asked.times or supervisor.failure or supervisor.ready):
        show(board.run)
        time.sleep(_POLL_S)
    if supervisor.ready:
        with board.change() as run:
            run.state = "running"
        show(board.run)
    while not (asked.times or supervisor.failure):
        time.sleep(_POLL_S)

    with board.change() as run:
        run.state = "stopping"
    say("stopping, in order; once more (Ctrl-C) and it is at once")
    stopping = threading.Thread(target=supervisor.stop, name="stopping")
    stopping.start()
    while stopping.is_alive():
        show(board.run)
        stopping.join(_POLL_S)
    if supervisor.failure:
        raise supervisor.failure
