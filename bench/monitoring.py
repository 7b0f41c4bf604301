"""What watching costs: events a second of the real `aggregate`, watched as in production, and with nobody watching.

Watched: heartbeats, the watchdog, what is counted of each batch, /metrics asked for every 5 s, and a gateway that looks
at its lag and sends probes. The two work off the same backlog by turns. `python -m bench.monitoring`
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench import application, broker, cores, events, report
from bench.aggregate import SPAN_S, STUDENTS
from bench.application import Application, Worker
from bench.harness import PROJECT, BenchError, Stretch, beside, say
from stack import answers, ports
from stack.child import Child
from stack.postgres import Postgres
from wire import topics

TITLE = "What monitoring costs"
WATCHED, UNWATCHED = "watched", "nobody watches"
MODULES = {WATCHED: "pipelines.aggregate.app", UNWATCHED: "bench.unwatched"}
SCRAPE_S = 5.0
READY_S_MAX = 60.0
BAR = 0.98
BACKLOG = 2_000_000


@contextlib.contextmanager
def gateway(app: Application, postgres: Postgres) -> Iterator[int]:
    """Its port. It runs on the cores of the harness."""
    port = ports.free()
    child = Child(
        "gateway",
        [sys.executable, "-m", "gateway"],
        log=app.home / "gateway.log",
        pid_file=app.home / "gateway.pid",
        cwd=PROJECT,
        env={
            **os.environ,
            "CLASSPULSE_KAFKA": app.kafka,
            "CLASSPULSE_REDIS_URL": f"redis://{app.redis}/0",
            "CLASSPULSE_POSTGRES_URL": postgres.url,
            "CLASSPULSE_GATEWAY_PORT": str(port),
        },
    )
    child.start()
    try:
        until_s = time.monotonic() + READY_S_MAX
        while answers.http_status(f"http://{ports.HOST}:{port}/readyz") != 200:
            if time.monotonic() > until_s:
                raise BenchError("the gateway is not ready:\n" + "\n".join(child.tail()))
            time.sleep(0.1)
        yield port
    finally:
        child.stop(30)


@contextlib.contextmanager
def scraped(*found: int) -> Iterator[None]:
    """/metrics of each of these ports, as Prometheus would ask for it."""

    def turns(over: threading.Event) -> None:
        while not over.wait(SCRAPE_S):
            for port in found:
                answers.http_status(f"http://{ports.HOST}:{port}/metrics")

    with beside(turns):
        yield


def fill(app: Application, backlog: int, name: str) -> None:
    if (missing := backlog - app.lag()) > 0:
        from_ms = int((time.time() - SPAN_S) * 1000)
        written = events.real(missing, STUDENTS, from_ms, SPAN_S, run=name)
        broker.fill(app.kafka, topics.ACTIVITY, application.PARTITIONS, written)


def pace(app: Application, worker: Worker, stretch: Stretch) -> float:
    worker.child.start()
    try:
        handled, seconds = app.pace(stretch.warm_s, stretch.for_s)
        return handled / seconds
    finally:
        worker.child.stop(30)


def one_round(app: Application, postgres: Postgres, which: str, name: str, backlog: int, stretch: Stretch) -> float:
    """Events a second."""
    fill(app, backlog, name)
    worker = app.worker(name, module=MODULES[which])
    if which == UNWATCHED:
        return pace(app, worker, stretch)
    with gateway(app, postgres) as port, scraped(worker.port, port):
        return pace(app, worker, stretch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm", type=float, default=2.0)
    parser.add_argument("--for", dest="for_s", type=float, default=10.0)
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="events waiting when a round starts")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    stretch = Stretch(args.warm, args.for_s)
    paces: dict[str, list[float]] = {WATCHED: [], UNWATCHED: []}
    cores.keep_off()
    with application.running() as app:
        postgres = Postgres(app.home / "postgres")
        postgres.start()
        try:
            subprocess.run(
                [sys.executable, "-m", "cli.main", "db", "migrate", "--postgres", postgres.url],
                cwd=PROJECT, check=True, timeout=120, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            for number in range(args.rounds):
                # The one that goes second finds warmer files: each goes first every other time.
                for which in (WATCHED, UNWATCHED) if number % 2 else (UNWATCHED, WATCHED):
                    name = f"{which.split()[0]}-{number}"
                    paces[which].append(one_round(app, postgres, which, name, args.backlog, stretch))
                    say(f"  round {number + 1}, {which}: {paces[which][-1]:,.0f} events/s")
        finally:
            postgres.stop()
    ratios = [watched / bare for watched, bare in zip(paces[WATCHED], paces[UNWATCHED], strict=True)]
    middle = {which: statistics.median(each) for which, each in paces.items()}
    rows = [
        [
            which,
            f"{middle[which]:,.0f}",
            f"{min(each):,.0f} to {max(each):,.0f}",
            f"{statistics.median(ratios):.3f}" if which == WATCHED else "",
            f"≥ {BAR}" if which == WATCHED else "",
        ]
        for which, each in paces.items()
    ]
    text = (
        f"Medians of {args.rounds} interleaved rounds; {args.backlog:,} events of {STUDENTS:,} students waiting. The "
        f"ratio is the median of the rounds' own: {', '.join(f'{ratio:.2f}' for ratio in ratios)}.\n\n"
        + report.table(["aggregate", "events/s", "from round to round", "watched is × as fast", "bar"], rows)
    )
    file = report.write(args.out, "monitoring", TITLE, text, report.bars(TITLE, middle, "events/s"))
    sys.stdout.write(file.read_text())


if __name__ == "__main__":
    main()
