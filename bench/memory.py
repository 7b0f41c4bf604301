"""How much memory the `aggregate` worker takes with the state of 100,000 students, and whether it stays at that.

First every student has a few events; then a steady load over all of them for `--minutes`. Resident memory is looked at
every 2 s. `python -m bench.memory`, and `--minutes 10` for the bar
"""

import argparse
import time
from pathlib import Path

from bench import application, broker, cores, events, report
from bench.harness import say
from wire import topics

TITLE = "Memory for 100,000 students' state"
STUDENTS = 100_000
EACH = 3  # events of a student before the steady load
RATE = 1_000.0
SPAN_S = 60.0
_NAME = "load"  # of both, so that the load goes on with the same students
_LOOK_S = 2.0
_DRAIN_S_MAX = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=STUDENTS)
    parser.add_argument("--rate", type=float, default=RATE, help="events a second of the steady load")
    parser.add_argument("--minutes", type=float, default=0.5, help="of steady load; the bar asks for 10")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    seen: list[tuple[float, float]] = []
    with application.running() as app:
        from_ms = int((time.time() - SPAN_S) * 1000)
        first = events.all_of(args.students, EACH, from_ms, SPAN_S, run=_NAME)
        broker.fill(app.kafka, topics.ACTIVITY, application.PARTITIONS, first)
        worker = app.worker()
        worker.child.start()
        started = time.monotonic()

        def drained() -> bool:
            seen.append((time.monotonic() - started, worker.rss_mb))
            return app.committed() > 0 and app.lag() + app.lag(topics.PARTIALS) == 0

        try:
            worker.until(drained, _DRAIN_S_MAX, "through its backlog")
            after = worker.rss_mb
            say(f"  {args.students:,} students: {after:,.0f} MB after {seen[-1][0]:.0f} s")
            load = app.load(args.rate, args.minutes * 60, args.students, _NAME)
            load.start()
            steady = len(seen)
            deadline = time.monotonic() + args.minutes * 60
            while time.monotonic() < deadline:
                time.sleep(_LOOK_S)
                seen.append((time.monotonic() - started, worker.rss_mb))
            load.kill()
        finally:
            worker.child.stop(30)
    half = (steady + len(seen)) // 2
    rows = [
        ["backlog worked off", f"{after:,.0f}", ""],
        ["highest until then", f"{max(mb for _, mb in seen[:steady]):,.0f}", "≤ 600"],
        [
            f"steady {args.rate:,.0f} events/s, first half: highest",
            f"{max(mb for _, mb in seen[steady:half]):,.0f}",
            "",
        ],
        ["second half: highest", f"{max(mb for _, mb in seen[half:]):,.0f}", "≤ 600, and as in the first"],
    ]
    text = f"{args.students:,} students, {EACH} events each, then {args.minutes:g} min of load over all of them.\n\n"
    text += report.table(["when", "RSS MB", "bar"], rows)
    plot = report.lines(
        TITLE, {"resident": [(max(s, 1.0), mb) for s, mb in seen]}, "seconds since start", "MB", log=False
    )
    say(f"\n{text}\n{report.machine()}\n{report.write(args.out, 'memory', TITLE, text, plot)}")


if __name__ == "__main__":
    main()
