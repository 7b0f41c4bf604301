"""A thread that sees when the event loop does not turn: says where everybody stands, and later ends the process.

A loop that is blocked answers nobody and commits nothing, while the group's coordinator goes on hearing from the thread
of the consumer: nobody takes its partitions over. Ended, it loses nothing; whoever starts it again reads on from the
last commit.
"""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum

import structlog

from wire import workers

log = structlog.get_logger(__name__)

TURN_S = 0.25
LOOK_S = 0.5
WORST_OF_S = 60.0
# What blocks the loop may hold the lock of the log, or the log itself may be what hangs.
SAY_WITHIN_S = 2.0


class Verdict(Enum):
    FINE = "fine"
    DUMP = "dump"
    LEAVE = "leave"


class Stillness:
    """For how long a loop has not turned. Pure.

    Only time counts that the watcher has seen: after a process was stopped and continued, or a machine slept, nothing
    has been blocked.

        looks      1   2   3   4                    5   6
        turns      7   7   7   7      (stopped)     7   8
        still_s    0   1   2   3                    4   0
    """

    def __init__(self, dump_s: float, leave_s: float) -> None:
        self.still_s = 0.0
        self._dump_s = dump_s
        self._leave_s = leave_s
        self._looked_s: float | None = None
        self._turns = -1
        self._dumped = False

    def look(self, turns: int, now_s: float) -> Verdict:
        """`turns`: how often the loop has turned so far. DUMP comes once each time it stands still."""
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, 2 * LOOK_S)
        self._looked_s = now_s
        if turns != self._turns:
            self._turns, self.still_s, self._dumped = turns, 0.0, False
            return Verdict.FINE
        self.still_s += passed_s
        if self.still_s >= self._leave_s:
            return Verdict.LEAVE
        if self.still_s >= self._dump_s and not self._dumped:
            self._dumped = True
            return Verdict.DUMP
        return Verdict.FINE


class Lags:
    """How late the loop woke: the worst since somebody asked last, and the worst of the last WORST_OF_S. Pure."""

    def __init__(self) -> None:
        self._since_asked_s = 0.0
        self._recent: deque[tuple[float, float]] = deque()  # when, how late; falling, so the first is the worst

    def woke(self, late_s: float, now_s: float) -> None:
        self._since_asked_s = max(self._since_asked_s, late_s)
        while self._recent and self._recent[-1][1] <= late_s:
            self._recent.pop()
        self._recent.append((now_s, late_s))

    def since_asked_s(self) -> float:
        lag_s, self._since_asked_s = self._since_asked_s, 0.0
        return lag_s

    def worst_s(self, now_s: float) -> float:
        while self._recent and self._recent[0][0] < now_s - WORST_OF_S:
            self._recent.popleft()
        return self._recent[0][1] if self._recent else 0.0


class Watchdog:
    def __init__(self, dump_s: float, leave_s: float) -> None:
        self.lags = Lags()
        self._stillness = Stillness(dump_s, leave_s)
        self._turns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watches the running loop."""
        self._stopped.clear()
        self._turn(asyncio.get_running_loop(), time.monotonic())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = time.monotonic()
        self._turns += 1
        self.lags.woke(max(0.0, now_s - due_s), now_s)
        self._timer = loop.call_later(TURN_S, self._turn, loop, now_s + TURN_S)

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_S):
            match self._stillness.look(self._turns, time.monotonic()):
                case Verdict.DUMP:
                    _in_time(self._dump)
                case Verdict.LEAVE:
                    _in_time(self._bye)
                    os._exit(workers.EXIT_LOOP_BLOCKED)

    def _dump(self) -> None:
        log.error(
            "the event loop does not turn; where each thread is follows", still_s=round(self._stillness.still_s, 1)
        )
        sys.stderr.flush()
        faulthandler.dump_traceback(all_threads=True)

    def _bye(self) -> None:
        log.critical(
            "the event loop does not turn; leaving so that it is started again",
            still_s=round(self._stillness.still_s, 1),
            exit_code=workers.EXIT_LOOP_BLOCKED,
        )
        logging.shutdown()


def _in_time(say: Callable[[], None]) -> None:
    """Returns when it is said, or has taken too long."""
    saying = threading.Thread(target=say, name="watchdog says", daemon=True)
    saying.start()
    saying.join(SAY_WITHIN_S)
