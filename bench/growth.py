"""How the rate of the count falls with more partitions and more keys. All events lie in one window, so the table has as
many entries as there are students. `python -m bench.growth`
"""

import argparse
from itertools import product
from pathlib import Path

from bench import broker, cores, count, events, report
from bench.harness import Stretch, run, say

TITLE = "Events a second by partitions and keys"
PARTITIONS = (1, 8, 32)
STUDENTS = (1_000, 10_000, 100_000, 1_000_000)
EVENTS = 2_000_000
SPAN_S = 10.0  # one window


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS, help="in each topic")
    parser.add_argument("--warm", type=float, default=0.7)
    parser.add_argument("--for", dest="for_s", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    rates: dict[tuple[int, int], float] = {}
    with broker.running() as kafka:
        for partitions, students in product(PARTITIONS, STUDENTS):
            topic = f"bench.{partitions}.{students}"
            broker.fill(kafka.address, topic, partitions, events.plain(args.events, students, SPAN_S))
            stretch = Stretch(args.warm, args.for_s)
            ran = run(count.OURS, kafka.address, topic, partitions, args.events, stretch)
            broker.delete(kafka.address, [topic])
            rates[partitions, students] = ran.rate
            say(f"  {partitions} partitions, {students:,} students: {ran.rate:,.0f} events/s, {ran.rss_mb:,.0f} MB")
    rows = [
        [f"{partitions} partitions", *(f"{rates[partitions, students]:,.0f}" for students in STUDENTS)]
        for partitions in PARTITIONS
    ]
    text = f"{args.events:,} events in each topic.\n\n"
    text += report.table(["events/s", *(f"{students:,} keys" for students in STUDENTS)], rows)
    text += f"\nThe steepest step between two neighbours: {steepest(rates):.2f} ×. Bar: none steeper than 2 ×.\n"
    series = {
        f"{partitions} partitions": [(float(students), rates[partitions, students]) for students in STUDENTS]
        for partitions in PARTITIONS
    }
    plot = report.lines(TITLE, series, "keys", "events/s")
    say(f"\n{text}\n{report.machine()}\n{report.write(args.out, 'growth', TITLE, text, plot)}")


def steepest(rates: dict[tuple[int, int], float]) -> float:
    """How many times slower a cell is than its neighbour with fewer partitions, or fewer keys."""
    steps = []
    for (partitions, students), rate in rates.items():
        row, column = PARTITIONS.index(partitions), STUDENTS.index(students)
        if row:
            steps.append(rates[PARTITIONS[row - 1], students] / rate)
        if column:
            steps.append(rates[partitions, STUDENTS[column - 1]] / rate)
    return max(steps)


if __name__ == "__main__":
    main()
