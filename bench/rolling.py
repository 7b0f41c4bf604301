"""Each worker asked to stop and started again, one after the other, under load: what a viewer sees of it, whether the
one on call is told, and whether an event is lost or doubled.

The whole stack with the demo classroom, and more events through its door. `python -m bench.rolling`
"""

import argparse
import asyncio
import contextlib
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench import house, posting, report
from bench.alarms import Alarms
from bench.audience import Careful, opened
from bench.harness import BenchError, say
from bench.house import House
from bench.posting import EVENTS, Load, Target

TITLE = "A rolling restart of the workers"
WORKERS = ("aggregate", "live", "history")
SCOPE = "school:all"
CONNECTIONS = 4
BEFORE_S, BETWEEN_S = 10.0, 10.0
RESTART_S = 20.0  # that one may take at most, for the length of the load
BALANCED_S_MAX = 240.0  # a balance is told a few seconds after its minute
ACKNOWLEDGE_S = 3.0
BAR_S = 5.0


class Viewer(threading.Thread):
    """Watches the school, whose values move many times a second."""

    def __init__(self, port: int) -> None:
        super().__init__(name="viewer", daemon=True)
        self._watcher = opened(port, Careful, [SCOPE])
        self._over = threading.Event()
        self._at_s = time.monotonic()
        self._gap_s = 0.0
        self._lock = threading.Lock()

    def run(self) -> None:
        watcher, said_s = self._watcher, time.monotonic()
        while not self._over.wait(0.02):
            before = watcher.frames
            with contextlib.suppress(BlockingIOError):
                watcher.read()
            now_s = time.monotonic()
            with self._lock:
                self._gap_s = max(self._gap_s, now_s - self._at_s)
                if watcher.frames > before:
                    self._at_s = now_s
            if watcher.offsets and now_s - said_s > ACKNOWLEDGE_S:
                said_s = now_s
                watcher.acknowledge()

    def gap_s(self) -> float:
        """The longest time without a frame since this was asked last."""
        with self._lock:
            gap_s, self._gap_s = self._gap_s, 0.0
            return gap_s

    @property
    def amiss(self) -> tuple[int, int]:
        """Gaps in the numbering of frames, and duplicates."""
        return self._watcher.gaps, self._watcher.duplicates

    def leave(self) -> None:
        self._over.set()
        self.join()
        self._watcher.link.close()


class Watching(threading.Thread):
    """Asks every second whether the one on call would be told."""

    def __init__(self, stack: House) -> None:
        super().__init__(name="on call", daemon=True)
        self.alarms = Alarms(stack)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(1.0):
            self.alarms.look()

    def end(self) -> None:
        self._over.set()
        self.join()


class Posting(threading.Thread):
    """`rate` events a second beside the demo's; all of them must be accepted."""

    def __init__(self, stack: House, rate: float, seconds: float) -> None:
        super().__init__(name="posts", daemon=True)
        headers = [f"Authorization: Bearer {stack.home.demo_key_file.read_text().strip()}"]
        self._load = Load(Target(stack.port, "/api/v1/events", headers, posting.native(), (202,), b""))
        self._rate, self._seconds = rate, seconds
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._load.steadily(CONNECTIONS, 0.0, self._seconds, self._rate))
        except Exception as error:
            self.error = error

    @property
    def accepted(self) -> int:
        """Raises BenchError where not all were."""
        if self.error is not None:
            raise BenchError(f"the door did not take all: {self.error!r}")
        return self._load.sent * EVENTS


def balanced(stack: House, posted: int) -> dict[str, Any]:
    """The audit when all that was posted is in it and nothing is under way; the newest, where that does not come."""
    until_s = time.monotonic() + BALANCED_S_MAX
    while True:
        view: dict[str, Any] = json.loads(stack.run("audit", "balance", "--json"))
        totals = view["totals"]
        if (totals["accepted"] >= posted and not totals["in_flight"]) or time.monotonic() > until_s:
            return view
        time.sleep(2.0)


def restart(stack: House, name: str) -> float:
    """Seconds from SIGTERM until another one is ready."""
    process, began_s = stack.process(name), time.monotonic()
    process.terminate()
    stack.until_ready(name, but=process.pid)
    return time.monotonic() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500.0, help="events a second beside the demo's 50")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    rows, gaps = [], {}
    with house.running() as stack:
        stack.until_calm()
        load = Posting(stack, args.rate, BEFORE_S + len(WORKERS) * (RESTART_S + BETWEEN_S))
        viewer, watching = Viewer(stack.port), Watching(stack)
        for thread in (load, viewer, watching):
            thread.start()
        time.sleep(BEFORE_S)
        rows.append(["none", "", f"{viewer.gap_s():.2f}", ""])
        for name in WORKERS:
            took_s = restart(stack, name)
            time.sleep(BETWEEN_S)
            gaps[name] = viewer.gap_s()
            rows.append([name, f"{took_s:.1f}", f"{gaps[name]:.2f}", f"≤ {BAR_S:.0f}"])
            say(f"  {name}: ready again after {took_s:.1f} s, the viewer's gap {gaps[name]:.2f} s")
        watching.end()
        alarms = watching.alarms
        viewer.leave()
        say("  waiting for the load's end, and the balance of its last minute")
        load.join()
        posted = load.accepted
        view = balanced(stack, posted)
    totals = view["totals"]
    judged = sum(totals[verdict] for verdict in ("folded", "duplicate", "late", "dead"))
    accepted = totals["accepted"] + totals["unclaimed"]
    whole = view["adds_up"] and view["complete"] and accepted == judged and totals["accepted"] >= posted
    missed, doubled = viewer.amiss
    text = (
        f"{args.rate:.0f} events/s through the door beside the demo's; accepted {accepted:,}, of them {posted:,} from "
        f"here; judged {judged:,}, of them {totals['duplicate']:,} duplicates; difference {totals['difference']:,}. "
        f"Frames missed: {missed}; doubled: {doubled}. False alarms: {len(alarms.found)} (bar 0).\n\n"
        + report.table(["restarted", "s until ready", "longest time without a frame, s", "bar"], rows)
        + alarms.listed()
    )
    plot = report.bars(TITLE, {name: 1_000 * gap for name, gap in gaps.items()}, "ms without a frame")
    file = report.write(args.out, "rolling", TITLE, text, plot)
    sys.stdout.write(file.read_text())
    failed = [
        *(["it does not add up"] if not whole else []),
        *(["false alarms"] if alarms.found else []),
        *(["frames are missed or doubled"] if missed or doubled else []),
        *([f"a gap of {max(gaps.values()):.1f} s"] if max(gaps.values()) > BAR_S else []),
    ]
    if failed:
        sys.exit("; ".join(failed))


if __name__ == "__main__":
    main()
