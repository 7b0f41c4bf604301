"""What watching costs the real `aggregate`, in its own processor's time, while it works off a backlog flat out.

Watched as in production: heartbeats, the watchdog, what is counted of each batch, /metrics asked for every 5 s, and a
gateway that looks at its lag and sends probes. Each is accounted for where it is done (`accounted.py`): beside one with
nobody watching, by turns, the machine's own noise was fifty times what was looked for. `python -m bench.monitoring`
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

from bench import accounted, application, cores, report
from bench.accounted import Account
from bench.aggregate import fill
from bench.application import Application
from bench.harness import PROJECT, BenchError, Stretch, beside, say
from stack import answers, ports
from stack.child import Child
from stack.postgres import Postgres

TITLE = "What monitoring costs"
SCRAPE_S = 5.0
READY_S_MAX = 60.0
BAR = 0.02
BACKLOG = 4_000_000


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


def one_round(app: Application, postgres: Postgres, name: str, stretch: Stretch) -> tuple[Account, Account]:
    """When it has warmed up, and at the stretch's end. Raises BenchError where nothing is left to work off by then."""
    file = app.home / f"{name}.json"
    os.environ[accounted.ACCOUNT] = str(file)
    worker = app.worker(name, module=accounted.__name__)
    try:
        with gateway(app, postgres) as port, scraped(worker.port, port):
            worker.child.start()
            worker.until(lambda: file.exists() and accounted.read(file).handled > 0, READY_S_MAX, "at work")
            time.sleep(stretch.warm_s)
            first = accounted.read(file)
            time.sleep(stretch.for_s)
            last = accounted.read(file)
    finally:
        worker.child.stop(30)
    if not app.lag():
        raise BenchError("nothing is left to work off: its pace is not told; --backlog more")
    return first, last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=float, default=2.0)
    parser.add_argument("--for", dest="for_s", type=float, default=15.0)
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="events waiting at first")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    shares: dict[str, list[float]] = {what: [] for what in accounted.WATCHING}
    handled: list[int] = []
    with application.running() as app:
        postgres = Postgres(app.home / "postgres")
        postgres.start()
        try:
            subprocess.run(
                [sys.executable, "-m", "cli.main", "db", "migrate", "--postgres", postgres.url],
                cwd=PROJECT, check=True, timeout=120, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            for number in range(args.rounds):
                fill(app, args.backlog, f"round-{number}")
                first, last = one_round(app, postgres, f"round-{number}", Stretch(args.warm, args.for_s))
                took_s = last.process_s - first.process_s
                handled.append(last.handled - first.handled)
                for what, each in shares.items():
                    each.append((last.spent_s.get(what, 0.0) - first.spent_s.get(what, 0.0)) / took_s)
                say(f"  round {number + 1}: {handled[-1]:,} records; " + told(shares, number))
        finally:
            postgres.stop()
    totals = [sum(each) for each in zip(*shares.values(), strict=True)]
    rows = [
        [what, f"{statistics.median(each):.3%}", f"{min(each):.3%} to {max(each):.3%}", ""]
        for what, each in [*shares.items(), ("all of it", totals)]
    ]
    rows[-1][-1] = f"≤ {BAR:.0%}"
    text = (
        f"Medians of {args.rounds} rounds of {args.for_s:g} s; records handled in them: "
        f"{', '.join(f'{number:,}' for number in handled)}.\n\n"
        + report.table(["what", "of its processor time", "from round to round", "bar"], rows)
    )
    plot = report.bars(TITLE, {what: 1e5 * statistics.median(each) for what, each in shares.items()}, "of 100,000")
    sys.stdout.write(report.write(args.out, "monitoring", TITLE, text, plot).read_text())
    if statistics.median(totals) > BAR:
        sys.exit(f"more than {BAR:.0%}")


def told(shares: dict[str, list[float]], number: int) -> str:
    return ", ".join(f"{what} {each[number]:.3%}" for what, each in shares.items())


if __name__ == "__main__":
    main()
