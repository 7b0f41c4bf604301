"""How many events a second the real `aggregate` application handles, beside plain Faust that only counts.

decode, dedupe, sessions, panes, partials, merge, metrics, changelogs: everything, in one process on one core. It works
off a backlog, and what is counted has been committed too. `python -m bench.aggregate`
"""

import argparse
import statistics
import time
from pathlib import Path

from bench import application, broker, cores, count, events, kafka_streams, report
from bench.application import Application
from bench.harness import BenchError, Contestant, Standing, Stretch, rounds, say
from wire import topics

TITLE = "The whole aggregate application"
BACKLOG = 2_000_000
STUDENTS = 5_000
COUNTED = 1_000_000  # events of the topic that is only counted
SPAN_S = 60.0  # of event time that a backlog holds
REAL, UNTIMED = "pipelines.aggregate.app", "bench.untimed"
TIMED_BAR = 0.6  # of the pace without event time and duplicates
BARS = {"plain Faust": 60, "Kafka Streams": 1}


def fill(app: Application, backlog: int, name: str) -> None:
    """So much waits afterwards. `name`: of what is written, of the same students each time."""
    if (missing := backlog - app.lag()) > 0:
        from_ms = int((time.time() - SPAN_S) * 1000)
        written = events.real(missing, STUDENTS, from_ms, SPAN_S, run=name, school="school")
        broker.fill(app.kafka, topics.ACTIVITY, application.PARTITIONS, written)


def one_round(app: Application, name: str, backlog: int, stretch: Stretch, module: str = REAL) -> tuple[float, int]:
    """Events a second, and how many partials its own merge had left unread by then."""
    fill(app, backlog, name)
    worker = app.worker(name, module=module)
    worker.child.start()
    try:
        handled, seconds = app.pace(worker, stretch.warm_s, stretch.for_s)
        return handled / seconds, app.lag(topics.PARTIALS)
    finally:
        worker.child.stop(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=float, default=2.0)
    parser.add_argument("--for", dest="for_s", type=float, default=6.0)
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="events waiting when a round starts")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    stretch = Stretch(args.warm, args.for_s)
    counting = [count.FAUST]
    if not kafka_streams.missing():
        counting.append(Contestant("Kafka Streams", kafka_streams.command(), "1 thread, RocksDB, only counts"))
    standings = [Standing(contestant) for contestant in counting]
    paces, untimed, left = [], [], []
    cores.keep_off()
    with application.running() as app:
        broker.fill(app.kafka, count.TOPIC, count.PARTITIONS, events.plain(COUNTED, STUDENTS))
        for number in range(args.rounds):
            turn = rounds(counting, 1, app.kafka, count.TOPIC, count.PARTITIONS, COUNTED, stretch)
            for standing, ran in zip(standings, turn, strict=True):
                if ran.failed:
                    raise BenchError(ran.failed)
                standing.runs += ran.runs
            pace, unread = one_round(app, f"aggregate-{number}", args.backlog, stretch)
            without, _ = one_round(app, f"untimed-{number}", args.backlog, stretch, module=UNTIMED)
            say(f"  round {number + 1}, aggregate: {pace:,.0f} events/s, {unread:,} partials unread")
            say(f"  without event time and duplicates: {without:,.0f} events/s")
            paces.append(pace)
            untimed.append(without)
            left.append(unread)
    ours = statistics.median(paces)
    rows = [["aggregate (everything)", f"{ours:,.0f}", f"{min(paces):,.0f} to {max(paces):,.0f}", "", ""]]
    plain = statistics.median(untimed)
    spread = f"{min(untimed):,.0f} to {max(untimed):,.0f}"
    rows.append(
        ["the same without event time and duplicates", f"{plain:,.0f}", spread, f"{ours / plain:.2f}", f"≥ {TIMED_BAR}"]
    )
    for standing in standings:
        name = standing.contestant.name
        rows.append(
            [
                f"{name} (only counts)",
                f"{standing.rate:,.0f}",
                standing.spread,
                f"{ours / standing.rate:.2f}",
                f"≥ {BARS[name]}",
            ]
        )
    text = (
        f"Medians of {args.rounds} interleaved rounds; {args.backlog:,} events of {STUDENTS:,} students waiting; "
        f"partials unread at the end of a round: {', '.join(f'{number:,}' for number in left)}.\n\n"
        + report.table(["what", "events/s", "from round to round", "aggregate is × as fast", "bar"], rows)
    )
    rates = {"aggregate": ours, "without event time and duplicates": plain} | {
        f"{s.contestant.name}, only counts": s.rate for s in standings
    }
    say(f"\n{text}\n{report.write(args.out, 'aggregate', TITLE, text, report.bars(TITLE, rates, 'events/s'))}")


if __name__ == "__main__":
    main()
