"""How a contestant measures itself. Only the standard library: peers run in an environment of their own.

The clock starts at the first event, so starting up and joining the group are not counted. What happens in the first
`warm_s` is left out, because compilers and caches warm up in it; then it is measured for `for_s`, or until the topic
has no more.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

RESULT = "RESULT "  # stands in the line the harness looks for; what follows is JSON


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--events", type=int, required=True, help="how many the topic holds")
    parser.add_argument("--warm", type=float, required=True, help="seconds")
    parser.add_argument("--for", dest="for_s", type=float, required=True, help="seconds")
    parser.add_argument("--app", required=True, help="a name of this run's own: consumer group, application id")
    parser.add_argument("--home", type=Path, required=True, help="a folder of this run's own")
    parser.add_argument("--option", action="append", default=[], help="what a contestant knows by itself")
    return parser.parse_args()


class Meter:
    """`add` what was handled, as often as you like; it leaves the process when the measurement is done."""

    def __init__(self, args: argparse.Namespace, counted: Callable[[], int] | None = None) -> None:
        """`counted`: the sum of all counts held, where the contestant can say: it must be every event handled."""
        self._limit: int = args.events
        self._warm_s: float = args.warm
        self._for_s: float = args.for_s
        self._counted = counted
        self._begun_s = 0.0
        self._from_s = 0.0
        self._from_cpu_s = 0.0
        self._from_events = 0
        self.events = 0

    def add(self, events: int = 1) -> None:
        self.events += events
        now_s = time.perf_counter()
        if not self._begun_s:
            self._begun_s = now_s
        if not self._from_s:
            if now_s - self._begun_s >= self._warm_s:
                self._from_s, self._from_cpu_s, self._from_events = now_s, time.process_time(), self.events
        elif now_s - self._from_s >= self._for_s:
            self._done(now_s)
        if self.events >= self._limit:
            self._done(now_s)

    def _done(self, now_s: float) -> NoReturn:
        """Leaves at once: what stopping costs is no part of the question."""
        result = {
            "handled": self.events,
            "events": self.events - self._from_events if self._from_s else 0,
            "seconds": now_s - self._from_s if self._from_s else 0.0,
            "cpu_seconds": time.process_time() - self._from_cpu_s,
            "counted": self._counted() if self._counted else None,
        }
        sys.stdout.write(f"{RESULT}{json.dumps(result)}\n")
        sys.stdout.flush()
        os._exit(0)
