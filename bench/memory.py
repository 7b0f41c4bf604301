"""How much memory the `aggregate` worker takes with the state of 100,000 students, and whether it stays at that.

First every student has a few events; then a steady load over all of them for `--minutes`. Resident memory is looked at
every 2 s. `python -m bench.memory`; `--minutes 10` for the bar, and `140` until all is kept that ever is: two hours
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
_STRETCH_MIN = 10.0  # of the steady load
_LOOK_S = 2.0
_DRAIN_S_MAX = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=STUDENTS)
    parser.add_argument("--rate", type=float, default=RATE, help="events a second of the steady load")
    parser.add_argument("--minutes", type=float, default=0.5, help="of steady load")
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

        load = app.load(args.rate, args.minutes * 60, args.students, _NAME)
        try:
            worker.until(drained, _DRAIN_S_MAX, "through its backlog")
            after = worker.rss_mb
            say(f"  {args.students:,} students: {after:,.0f} MB after {seen[-1][0]:.0f} s")
            load.start()
            steady, begun_s = len(seen), time.monotonic() - started
            while seen[-1][0] < begun_s + args.minutes * 60:
                time.sleep(_LOOK_S)
                seen.append((time.monotonic() - started, worker.rss_mb))
        finally:
            load.kill()
            worker.child.stop(30)
    stretch = min(_STRETCH_MIN, args.minutes / 2)
    highest: dict[int, float] = {}
    for at_s, mb in seen[steady:-1]:
        number = int((at_s - begun_s) / 60 / stretch)
        highest[number] = max(mb, highest.get(number, 0.0))
    rows = [
        ["backlog worked off", f"{after:,.0f}", ""],
        ["highest until then", f"{max(mb for _, mb in seen[:steady]):,.0f}", "≤ 600"],
        *(
            [f"minutes {number * stretch:g} to {(number + 1) * stretch:g} of the load: highest", f"{mb:,.0f}", ""]
            for number, mb in highest.items()
        ),
    ]
    rows[-1][-1] = "≤ 600, and as in those before"
    text = f"{args.students:,} students, {EACH} events each, then {args.minutes:g} min of load over all of them: "
    text += f"{args.rate:,.0f} events/s.\n\n"
    text += report.table(["when", "RSS MB", "bar"], rows)
    plot = report.lines(
        TITLE, {"resident": [(max(s, 1.0), mb) for s, mb in seen]}, "seconds since start", "MB", log=False
    )
    say(f"\n{text}\n{report.machine()}\n{report.write(args.out, 'memory', TITLE, text, plot)}")


if __name__ == "__main__":
    main()
