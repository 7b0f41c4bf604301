"""Deliveries of live updates to viewers per second of processor time, beside the technique by itself and its peers.

50 scopes change 10 times a second, 190 bytes each; a viewer watches 1 to 3 of them. This process publishes, and is
every viewer; it spins while it reads: a sleeping reader bills its wake-ups to the sender. Ours and FastAPI get their
updates from the same Redis; the others as lines on a socket, which costs them less. A tick's time is from before it is
published to the last viewer's last byte. Of ours each update is held against the one before it.
`python -m bench.fanout`, and `--viewers 5000` for the other bars (which wants `ulimit -n 12000`)
"""

import argparse
import select
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
import redis

from bench import broker, cores, fanout_peers, report
from bench.audience import Audience, Careful, Pushed, Watcher
from bench.harness import PROJECT, BenchError, say
from stack import ports
from stack.child import Child
from stack.valkey import Valkey
from wire import channels

TITLE = "Fan-out of live updates"
SCOPES = [f"course:c{number:02}" for number in range(50)]
TICK_S = 0.1
FIRST_TICKS = 5  # left out
ACKNOWLEDGE_TICKS = 40
SETTLE_S = 1.0
LISTEN_S_MAX = 30.0
TICKS_S_MAX = 120.0


@dataclass(frozen=True)
class Contestant:
    about: str
    command: Callable[[], list[str]]  # raises BenchError where it cannot run here
    feed: bool = True  # it takes lines; else what is published in Redis
    kind: type[Watcher] = Watcher
    deflate: bool = False
    words: tuple[str, ...] = ("--port", "--feed")  # before the two ports


def _python(module: str, *words: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"bench.contestants.{module}", *words]


OURS = Contestant("ours, whole", _python("viewers", "ours"), feed=False, kind=Careful)
CONTESTANTS = {
    "ours": OURS,
    "bare": Contestant("the technique bare: one write a viewer and tick", _python("bare", "tick")),
    "bare_update": Contestant("the same, one write an update", _python("bare", "update")),
    "send_json": Contestant("FastAPI send_json, deflate off", _python("viewers", "send_json"), feed=False),
    "send_json_deflate": Contestant(
        "FastAPI send_json, as it comes", _python("viewers", "send_json_deflate"), feed=False, deflate=True
    ),
    "ws": Contestant("node ws 8.23.0, send", fanout_peers.node_command, words=()),
    "centrifuge": Contestant("Centrifuge 0.40.1 (Go)", fanout_peers.go_command, kind=Pushed, words=()),
}
# What issue 6 asks: the first has at least so many times the deliveries of the second.
BARS = [
    ("bare_update", "send_json_deflate", 4.5),
    ("bare_update", "send_json", 3.0),
    ("ours", "send_json_deflate", 7.0),
    ("ours", "centrifuge", 1.0),
    ("ours", "ws", 1.5),
    ("ours", "bare", 0.8),
]


@dataclass
class Run:
    deliveries: int
    cpu_s: float
    ticks_ms: list[float]
    kb_a_viewer: float
    ticks_s: float  # ticks a second that it held
    amiss: tuple[int, int, int] = (0, 0, 0)  # gaps, duplicates, updates folded into others

    @property
    def rate(self) -> float:
        """Deliveries a second of processor time."""
        return self.deliveries / self.cpu_s


class Updates(Protocol):
    """Of the same length each, as the pipeline publishes them."""

    def tick(self) -> None: ...


def updates(offset: int) -> list[tuple[str, str]]:
    """One tick: each scope and what is published of it."""
    made = []
    for number, scope in enumerate(SCOPES):
        value = 100_000 + (offset * 7_919 + number * 104_729) % 900_000
        point = (
            f'{{"metric":"events_per_minute","window_s":60,"start_ms":1764000000000,"value":{value},"n":{value},'
            '"as_of_ms":1764000059999}'
        )
        head = f'{{"type":"update","scope":"{scope}","epoch":"a1b2c3","offset":{offset}'
        made.append((scope, f'{head},"values":[{point}],"skipped":0}}'))
    return made


class Published:
    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url)
        self._offset = 0

    def tick(self) -> None:
        self._offset += 1
        with self._redis.pipeline(transaction=False) as pipeline:
            for scope, update in updates(self._offset):
                pipeline.publish(channels.live(scope), update)
            pipeline.execute()


class Lines:
    def __init__(self, port: int) -> None:
        self._link = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._offset = 0

    def tick(self) -> None:
        self._offset += 1
        lines = [f"{scope} {update}\n" for scope, update in updates(self._offset)]
        self._link.sendall(("".join(lines) + "\n").encode())


@contextmanager
def running(contestant: Contestant, redis_url: str) -> Iterator[tuple[int, int, psutil.Process]]:
    """The port for viewers, the one for lines, and the process, when it answers."""
    port, feed = ports.free(), ports.free()
    words = [*contestant.words[:1], str(port)]
    words += [*contestant.words[1:], str(feed)] if contestant.feed else ["--redis", redis_url]
    with tempfile.TemporaryDirectory(prefix="classpulse-bench-") as folder:
        home = Path(folder)
        command = cores.pinned([*contestant.command(), *words])
        child = Child(contestant.about, command, log=home / "log", pid_file=home / "pid", cwd=PROJECT)
        child.start()
        try:
            until = time.monotonic() + LISTEN_S_MAX
            while not _listens(port):
                if time.monotonic() > until or not child.running:
                    raise BenchError(f"{contestant.about} does not listen: {child.tail()}")
                time.sleep(0.1)
            yield port, feed, psutil.Process(child.pid)
        finally:
            child.stop(10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def measure(contestant: Contestant, redis_url: str, viewers: int, ticks: int) -> Run:
    """One contestant's run. Ticks are stretched, not piled up, where it cannot hold them."""
    with running(contestant, redis_url) as (port, feed, process):
        source: Updates = Lines(feed) if contestant.feed else Published(redis_url)
        audience = Audience(port, contestant.kind, deflate=contestant.deflate)
        before = process.memory_info().rss
        try:
            audience.arrive(viewers, SCOPES)
            time.sleep(SETTLE_S)
            audience.look()
            for watcher in audience.watchers:
                watcher.frames = 0
            kb = (process.memory_info().rss - before) / viewers / 1024
            busy = process.cpu_times()
            started, last = run_ticks(source, audience, ticks)
            ended = process.cpu_times()
            deliveries = sum(len(watcher.scopes) for watcher in audience.watchers) * ticks
            careful = [watcher for watcher in audience.watchers if isinstance(watcher, Careful)]
        finally:
            audience.leave()
    took = [(end - begin) * 1_000 for begin, end in zip(started, last, strict=True)]
    cpu_s = ended.user + ended.system - busy.user - busy.system
    amiss = (
        sum(watcher.gaps for watcher in careful),
        sum(watcher.duplicates for watcher in careful),
        sum(watcher.skipped for watcher in careful),
    )
    return Run(deliveries, cpu_s, took[FIRST_TICKS:], kb, (ticks - 1) / (started[-1] - started[0]), amiss)


def run_ticks(
    source: Updates, audience: Audience, ticks: int, each: Callable[[float], None] | None = None
) -> tuple[list[float], list[float]]:
    """When each tick was published, and when it had reached the last viewer. `each`: is told of every viewer and tick
    how long it took, in s."""
    poll = select.epoll()
    by = {watcher.link.fileno(): watcher for watcher in audience.watchers}
    for number in by:
        poll.register(number, select.EPOLLIN)
    for watcher in by.values():
        watcher.tick, watcher.frames = 0, 0
    started: list[float] = []
    last, reached = [0.0] * ticks, [0] * ticks
    due = time.monotonic()
    until = due + TICKS_S_MAX
    while reached[-1] < len(by):
        now = time.monotonic()
        if now > until:
            raise BenchError(f"not done within {TICKS_S_MAX:g} s: tick {len(started)} of {ticks}")
        if len(started) < ticks and now >= due and (not started or reached[len(started) - 1] == len(by)):
            started.append(now)
            source.tick()
            due = max(due + TICK_S, now)
            audience.acknowledge(len(started) % ACKNOWLEDGE_TICKS, ACKNOWLEDGE_TICKS)
        for number, _ in poll.poll(0, 512):
            watcher = by[number]
            watcher.read()
            while watcher.tick < len(started) and watcher.frames >= (watcher.tick + 1) * len(watcher.scopes):
                last[watcher.tick] = now = time.monotonic()
                if each is not None:
                    each(now - started[watcher.tick])
                reached[watcher.tick] += 1
                watcher.tick += 1
    return started, last


def able(contestants: dict[str, Contestant]) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Those that can run here, and why the others cannot."""
    found, skipped = {}, {}
    for name, contestant in contestants.items():
        try:
            contestant.command()
            found[name] = contestant
        except BenchError as error:
            skipped[name] = str(error)
            say(f"  {contestant.about} is skipped: {error}")
    return found, skipped


def percentile(sorted_: Sequence[float], share: float) -> float:
    return sorted_[min(len(sorted_) - 1, int(len(sorted_) * share))]


def told(runs: dict[str, list[Run]], skipped: dict[str, str], viewers: int) -> str:
    rates = {name: statistics.median(run.rate for run in each) for name, each in runs.items()}
    rows, p99 = [], {}
    for name, contestant in CONTESTANTS.items():
        if name in skipped:
            rows.append([contestant.about, f"skipped: {skipped[name].splitlines()[0]}", *[""] * 4])
        if not (each := runs.get(name)):
            continue
        took = sorted(ms for run in each for ms in run.ticks_ms)
        p99[name] = percentile(took, 0.99)
        held = statistics.median(run.ticks_s for run in each)
        rows.append(
            [
                contestant.about,
                f"{rates[name]:,.0f}",
                f"{rates['ours'] / rates[name]:.2f}" if "ours" in rates else "",
                f"{held:.1f}",
                f"{statistics.median(took):.0f} / {p99[name]:.0f}",
                f"{statistics.median(run.kb_a_viewer for run in each):.1f}",
            ]
        )
    head = ["what", "deliveries / CPU s", "ours is × as many", "ticks/s held", "tick p50 / p99, ms", "KB a viewer"]
    answers = [
        [f"{CONTESTANTS[a].about} ÷ {CONTESTANTS[b].about}", f"{rates[a] / rates[b]:.2f}", f"≥ {bar:g}"]
        for a, b, bar in BARS
        if a in rates and b in rates
    ]
    if ours := runs.get("ours"):
        kb = statistics.median(run.kb_a_viewer for run in ours)
        gaps, duplicates, folded = (sum(run.amiss[at] for run in ours) for at in range(3))
        answers.append(["memory of an idle viewer of ours, KB", f"{kb:.1f}", "≤ 24"])
        answers.append(["gaps, duplicates, updates folded", f"{gaps}, {duplicates}, {folded}", "0, 0"])
        if viewers == 5_000:
            answers.append(["p99 from tick to last byte, ms", f"{p99['ours']:.0f}", "≤ 250"])
    return report.table(head, rows) + "\n" + report.table(["answer", "figure", "bar"], answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ticks", type=int, default=45)
    parser.add_argument("--only", action="append", default=[], choices=list(CONTESTANTS))
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    contestants, skipped = able({name: CONTESTANTS[name] for name in args.only or CONTESTANTS})
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory(prefix="classpulse-bench-") as folder:
        valkey = Valkey(Path(folder) / "valkey", cache=broker.CACHE)
        valkey.start()
        try:
            for _ in range(args.rounds):
                for name, contestant in contestants.items():
                    run = measure(contestant, valkey.url, args.viewers, args.ticks)
                    say(f"  {contestant.about}: {run.rate:,.0f} deliveries/CPU s, {run.kb_a_viewer:.1f} KB a viewer")
                    runs[name].append(run)
        finally:
            valkey.stop()
    title = f"{TITLE} to {args.viewers:,} viewers"
    about = f"{args.viewers:,} viewers; medians of {args.rounds} interleaved rounds of {args.ticks} ticks.\n\n"
    rates = {CONTESTANTS[name].about: statistics.median(run.rate for run in each) for name, each in runs.items()}
    plot = report.bars(title, rates, "deliveries per CPU second")
    file = report.write(args.out, f"fanout-{args.viewers}", title, about + told(runs, skipped, args.viewers), plot)
    sys.stdout.write(file.read_text())


if __name__ == "__main__":
    main()
