"""Contestants by turns: every round runs each of them once, so that what the machine does meanwhile hits all alike."""

import contextlib
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench import broker, cores
from bench.contestants.meter import RESULT
from stack.child import Child
from stack.errors import StackError

PROJECT = Path(__file__).parent.parent
_START_S_MAX = 60.0  # until the first event; then a run takes its warm-up and its measure
_POLL_S = 0.1


class BenchError(RuntimeError):
    """A measurement that means nothing; the message says why."""


@contextlib.contextmanager
def beside(turns: Callable[[threading.Event], None]) -> Iterator[None]:
    """Done in a thread meanwhile, until the event it is given is set."""
    over = threading.Event()
    turning = threading.Thread(target=turns, args=(over,), name="beside")
    turning.start()
    try:
        yield
    finally:
        over.set()
        turning.join()


@dataclass(frozen=True)
class Contestant:
    name: str
    command: Sequence[str]
    about: str
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Stretch:
    """How long a run is."""

    warm_s: float = 2.0
    for_s: float = 6.0


@dataclass(frozen=True)
class Run:
    events: int
    seconds: float
    cpu_seconds: float
    rss_mb: float  # the highest seen
    changelog: int  # records written to its changelog by then

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Events a second of processor time."""
        return self.events / self.cpu_seconds if self.cpu_seconds else 0.0


@dataclass
class Standing:
    contestant: Contestant
    runs: list[Run] = field(default_factory=list)
    failed: str = ""  # why it has run no more

    def median(self, of: str) -> float:
        return statistics.median(float(getattr(run, of)) for run in self.runs)

    @property
    def rate(self) -> float:
        return self.median("rate")

    @property
    def spread(self) -> str:
        rates = [run.rate for run in self.runs]
        return f"{min(rates):,.0f} to {max(rates):,.0f}"


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def python(module: str, interpreter: str = sys.executable) -> list[str]:
    return [interpreter, "-m", module]


def rounds(
    contestants: Sequence[Contestant],
    number: int,
    address: str,
    topic: str,
    partitions: int,
    events: int,
    stretch: Stretch,
) -> list[Standing]:
    """One that fails runs no more, and its standing says why; the others go on."""
    standings = [Standing(contestant) for contestant in contestants]
    for turn in range(number):
        for standing in (standing for standing in standings if not standing.failed):
            try:
                result = run(standing.contestant, address, topic, partitions, events, stretch)
            except (BenchError, StackError) as error:
                standing.failed = str(error)
                say(f"  round {turn + 1}, {standing.contestant.name}: {error}")
                continue
            standing.runs.append(result)
            say(f"  round {turn + 1}, {standing.contestant.name}: {result.rate:,.0f} events/s")
            if result.seconds < stretch.for_s / 2:
                say(f"  (it was through the topic after {result.seconds:.1f} s: few commits are in that)")
    return standings


def run(
    contestant: Contestant, address: str, topic: str, partitions: int, events: int, stretch: Stretch, name: str = ""
) -> Run:
    """One process from start to end. Blocks, at most a minute longer than `stretch`.

    Raises StackError where it does not come to an end, BenchError where it has counted wrong.
    `name`: of its consumer group, which its changelogs begin with; they are deleted afterwards. "": one nobody has.
    """
    name = name or f"bench-{uuid.uuid4().hex[:10]}"
    home = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    command = [
        *contestant.command,
        "--kafka", address, "--topic", topic, "--partitions", str(partitions), "--events", str(events),
        "--warm", str(stretch.warm_s), "--for", str(stretch.for_s), "--app", name, "--home", str(home),
        *(word for option in contestant.options for word in ("--option", option)),
    ]  # fmt: skip
    child = Child(
        contestant.name,
        cores.pinned(command),
        log=home / "log",
        pid_file=home / "pid",
        cwd=PROJECT,
    )
    child.start()
    try:
        rss_mb = _await(child, _START_S_MAX + stretch.warm_s + stretch.for_s)
        result = _result(child)
        written = {topic: end for topic, end in broker.changelogs(address).items() if name in topic}
    finally:
        child.kill()
        shutil.rmtree(home, ignore_errors=True)
    if written:
        broker.delete(address, written)
    _check(contestant, result)
    return Run(result["events"], result["seconds"], result["cpu_seconds"], rss_mb, sum(written.values()))


def _await(child: Child, within_s: float) -> float:
    """The highest resident memory in MB, once it has ended by itself."""
    deadline = time.monotonic() + within_s
    highest = 0
    process = psutil.Process(child.pid)
    while child.running:
        if time.monotonic() > deadline:
            raise StackError(f"{child.name} did not end within {within_s:.0f} s. Its last lines:", lines=child.tail())
        try:
            highest = max(highest, process.memory_info().rss)
        except psutil.Error:  # it has just ended
            break
        time.sleep(_POLL_S)
    while child.running:
        time.sleep(_POLL_S)
    return highest / 2**20


def _result(child: Child) -> dict[str, Any]:
    for line in reversed(child.tail(200)):
        _, found, text = line.partition(RESULT)
        if found:
            result: dict[str, Any] = json.loads(text)
            return result
    raise child.died()


def _check(contestant: Contestant, result: dict[str, Any]) -> None:
    if not result["events"]:
        raise BenchError(f"{contestant.name} was through the topic before it was warm: the topic must hold more events")
    if result["counted"] not in (None, result["handled"]):
        raise BenchError(f"{contestant.name} handled {result['handled']} events and counted {result['counted']}")
