"""From an event's post to the frame of its course at each of 1,000 viewers, beside the demo classroom of 153 students.

The whole stack as `classpulse up` starts it, nothing pinned. Each probe is the first event of a course nobody has seen,
which everybody watches, so the first update of that course is the answer. `python -m bench.frame`
"""

import argparse
import json
import random
import select
import sys
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import house, report
from bench.audience import Audience, Careful
from bench.fanout import percentile
from bench.harness import BenchError, say
from bench.house import Door

TITLE = "From post to frame"
PAUSE_S = (0.1, 0.4)  # drawn anew before each probe, so that they do not fall into step with anything
ANSWER_S_MAX = 20.0
LESSON_S = 20.0  # of the demo before the first probe
ACKNOWLEDGE_S = 3.0


class Room:
    """Everybody, who all watch what is probed."""

    def __init__(self, port: int, viewers: int, scopes: list[str]) -> None:
        self._audience = Audience(port)
        self._audience.arrive(viewers, scopes)
        self._poll = select.epoll()
        self._by: dict[int, Careful] = {}
        for watcher in self._audience.watchers:
            if isinstance(watcher, Careful):
                self._by[watcher.link.fileno()] = watcher
                self._poll.register(watcher.link, select.EPOLLIN)
        self._acknowledged_s = time.monotonic()

    def watch(self, scope: str, *, on: bool = True) -> None:
        for watcher in self._by.values():
            watcher.say({"type": "subscribe" if on else "unsubscribe", "scope": scope})

    def look(self, for_s: float, scope: str, offset: int) -> dict[int, float]:
        """Reads for so long, at most until everybody has got to the offset; when each of them had it."""
        field = scope.encode()
        there: dict[int, float] = {}
        until = time.monotonic() + for_s
        while (now := time.monotonic()) < until and len(there) < len(self._by):
            if now - self._acknowledged_s > ACKNOWLEDGE_S:
                self._acknowledged_s = now
                self._audience.acknowledge()
            for number, _ in self._poll.poll(0.005, 512):
                watcher = self._by[number]
                watcher.read()
                if number not in there and watcher.offsets.get(field, -1) >= offset:
                    there[number] = time.monotonic()
        return there

    @property
    def amiss(self) -> tuple[int, int]:
        return sum(each.gaps for each in self._by.values()), sum(each.duplicates for each in self._by.values())

    def leave(self) -> None:
        self._poll.close()
        self._audience.leave()


def probe(room: Room, door: Door, thread: ThreadPoolExecutor, course: str, viewers: int) -> list[float]:
    """Seconds to each viewer."""
    scope = f"course:{course}"
    room.watch(scope)
    if len(room.look(ANSWER_S_MAX, scope, 0)) < viewers:
        raise BenchError("not everybody has got the snapshot of an empty course")
    room.look(random.uniform(*PAUSE_S), scope, 1)  # noqa: S311 -- a pause
    posted = time.monotonic()
    posting = thread.submit(door.post, course)
    there = room.look(ANSWER_S_MAX, scope, 1)
    posting.result()
    if len(there) < viewers:
        raise BenchError(f"{viewers - len(there)} of {viewers} have no frame {ANSWER_S_MAX:g} s after the post")
    room.watch(scope, on=False)
    return [at - posted for at in there.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1_000)
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    took: list[float] = []
    slowest: list[float] = []
    many = str(2 * args.viewers)
    with house.running(CLASSPULSE_LIVE_VIEWERS_MAX=many, CLASSPULSE_LIVE_VIEWERS_PER_ADDRESS=many) as stack:
        say("  the stack is up")
        time.sleep(LESSON_S)
        dashboard = stack.told.dashboard
        with urllib.request.urlopen(f"{dashboard}api/v1/dashboard/overview", timeout=ANSWER_S_MAX) as answer:  # noqa: S310
            overview = json.load(answer)
        scopes = ["school:all", *(f"course:{course['course_id']}" for course in overview["courses"])]
        room = Room(stack.port, args.viewers, scopes)
        door, run = stack.door(), uuid.uuid4().hex[:6]
        with ThreadPoolExecutor(1) as thread:
            for number in range(args.probes + 3):
                each = probe(room, door, thread, f"bench-{run}-{number}", args.viewers)
                if number >= 3:  # the first ones warm up
                    took += each
                    slowest.append(max(each))
        gaps, duplicates = room.amiss
        room.leave()
    rows = []
    for who, sample, bar in (
        ("a viewer", sorted(took), "p50 ≤ 200, p99 ≤ 400"),
        ("the last of them", sorted(slowest), ""),
    ):
        figures = [f"{1_000 * percentile(sample, share):,.0f}" for share in (0.5, 0.9, 0.99, 1.0)]
        rows.append([who, *figures, bar])
    text = (
        f"{args.viewers:,} viewers, {args.probes} probes, {len(overview['students'])} students of the demo at work; "
        f"the viewers and the whole stack on all cores. Gaps: {gaps}; duplicates: {duplicates}.\n\n"
        + report.table(["until the frame is at", "p50 ms", "p90 ms", "p99 ms", "max ms", "bar"], rows)
    )
    ordered = sorted(took)
    curve = [(float(share), 1_000 * percentile(ordered, share / 100)) for share in (10, 25, 50, 75, 90, 95, 99)]
    file = report.write(
        args.out, "frame", TITLE, text, report.lines(TITLE, {"a viewer": curve}, "percentile", "ms", log=False)
    )
    sys.stdout.write(file.read_text())


if __name__ == "__main__":
    main()
