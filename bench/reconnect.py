"""Two thousand viewers who lose their connections in one moment and come back in the next: when all are live again.

Nobody waits, as our clients would: neither jitter nor the gateway's hint spreads them. Ten times a second the
pipeline's own writer writes all scopes, so that there is something to resume from. Live again is who has been answered
in each of his scopes, by `resumed` or a snapshot. `python -m bench.reconnect`
"""

import argparse
import asyncio
import select
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import audience, broker, cores, report
from bench.audience import Audience, Careful
from bench.fanout import OURS, SCOPES, TICK_S, percentile, running
from bench.harness import BenchError, say
from pipelines.live.writer import LiveWriter
from stack.valkey import Valkey
from wire.metrics import Metric, MetricPoint, ScopeUpdate

TITLE = "Two thousand come back at once"
RESUMED, AFRESH = "with what they had", "with nothing, as new pages"
BEFORE_TICKS = 10
ACKNOWLEDGE_S = 3.0
BACK_S_MAX = 60.0


class Lesson:
    """Every scope changes with each tick."""

    def __init__(self, runner: asyncio.Runner, redis_url: str) -> None:
        self._runner = runner
        self._writer = LiveWriter(redis_url)
        self._tick = 0
        self._due = time.monotonic()

    def go_on(self) -> None:
        """Writes a tick where one is due. Blocks while Redis takes it."""
        if time.monotonic() < self._due:
            return
        self._due = max(self._due + TICK_S, time.monotonic())
        self._tick += 1
        point = MetricPoint(
            metric=Metric.EVENTS_PER_MINUTE,
            window_s=60,
            start_ms=0,
            value=self._tick,
            n=self._tick,
            as_of_ms=self._tick,
        )
        self._runner.run(self._writer.write([ScopeUpdate(scope=scope, points=[point]) for scope in SCOPES]))

    def close(self) -> None:
        self._runner.run(self._writer.close())


@dataclass
class Return:
    """Everybody on his way back."""

    lesson: Lesson
    poll: select.epoll = field(default_factory=select.epoll)
    back: dict[int, Careful] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    live: list[Careful] = field(default_factory=list)
    acknowledged_s: float = field(default_factory=time.monotonic)

    def of(self, port: int, before: Sequence[Careful], *, resume: bool) -> list[float]:
        """Seconds until each was live again, sorted."""
        started = time.monotonic()
        for old in before:
            watcher = Careful(audience.connecting(port), old.scopes)
            if resume:
                watcher.epochs, watcher.offsets = dict(old.epochs), dict(old.offsets)
            self.back[watcher.link.fileno()] = watcher
            self.poll.register(watcher.link, select.EPOLLOUT)
        greeted: set[int] = set()
        while len(self.took_s) < len(before):
            if time.monotonic() - started > BACK_S_MAX:
                raise BenchError(f"after {BACK_S_MAX:g} s {len(self.took_s)} of {len(before)} are live again")
            self.lesson.go_on()
            self._acknowledge(time.monotonic())
            for number, events in self.poll.poll(0.01, 512):
                watcher = self.back[number]
                if events & select.EPOLLOUT:
                    watcher.link.sendall(audience.request())
                    self.poll.modify(number, select.EPOLLIN)
                elif number not in greeted:
                    watcher.rest += watcher.link.recv(4_096)
                    if b"\r\n\r\n" in watcher.rest:
                        greeted.add(number)
                        watcher.rest = audience.accepted(watcher.rest)
                        _subscribe(watcher, resume=resume)
                else:
                    answered = watcher.answered
                    watcher.read()
                    if answered < len(watcher.scopes) <= watcher.answered:
                        self.live.append(watcher)
                        self.took_s.append(time.monotonic() - started)
        return sorted(self.took_s)

    def _acknowledge(self, now_s: float) -> None:
        if now_s - self.acknowledged_s > ACKNOWLEDGE_S:
            self.acknowledged_s = now_s
            for watcher in self.live:
                watcher.acknowledge()

    def end(self) -> tuple[int, int]:
        """Gaps and duplicates since they are back."""
        for watcher in self.back.values():
            watcher.link.close()
        self.poll.close()
        return sum(each.gaps for each in self.back.values()), sum(each.duplicates for each in self.back.values())


def _subscribe(watcher: Careful, *, resume: bool) -> None:
    for scope in watcher.scopes:
        place = {"epoch": watcher.epochs[scope.encode()], "offset": watcher.offsets[scope.encode()]} if resume else {}
        watcher.say({"type": "subscribe", "scope": scope, **place})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    last: dict[str, list[float]] = {RESUMED: [], AFRESH: []}
    half: dict[str, list[float]] = {RESUMED: [], AFRESH: []}
    amiss = [0, 0]
    with tempfile.TemporaryDirectory(prefix="classpulse-bench-") as folder, asyncio.Runner() as runner:
        valkey = Valkey(Path(folder) / "valkey", cache=broker.CACHE)
        valkey.start()
        lesson = Lesson(runner, valkey.url)
        try:
            with running(OURS, valkey.url) as (port, _, _):
                for number in range(2 * args.rounds):
                    which = (RESUMED, AFRESH)[number % 2]
                    people = Audience(port)
                    people.arrive(args.viewers, SCOPES)
                    until = time.monotonic() + BEFORE_TICKS * TICK_S
                    while time.monotonic() < until:
                        lesson.go_on()
                        people.look()
                    before = [each for each in people.watchers if isinstance(each, Careful)]
                    people.leave()
                    going = Return(lesson)
                    took_s = going.of(port, before, resume=which == RESUMED)
                    amiss = [sum(pair) for pair in zip(amiss, going.end(), strict=True)]
                    last[which].append(took_s[-1])
                    half[which].append(percentile(took_s, 0.5))
                    say(f"  {which}: half after {half[which][-1]:.2f} s, all after {took_s[-1]:.2f} s")
        finally:
            lesson.close()
            valkey.stop()
    rows = [
        [which, f"{statistics.median(half[which]):.2f}", f"{statistics.median(each):.2f}", f"{max(each):.2f}", "≤ 5"]
        for which, each in last.items()
    ]
    text = (
        f"{args.viewers:,} viewers, {args.rounds} rounds each way. Gaps: {amiss[0]}; duplicates: {amiss[1]}.\n\n"
        + report.table(["they come", "half live again, s", "all, s", "the slowest round, s", "bar"], rows)
    )
    middle = {which: statistics.median(each) for which, each in last.items()}
    plot = report.bars(TITLE, {which: 1_000 * s for which, s in middle.items()}, "ms until all are live")
    file = report.write(args.out, "reconnect", TITLE, text, plot)
    sys.stdout.write(file.read_text())


if __name__ == "__main__":
    main()
