"""How many changelog records a second a restarting worker takes back into its table: ours and Faust's own.

The clock runs from when the worker is given its partitions until the table is whole. `python -m bench.recovery`
"""

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

from bench import broker, cores, report
from bench.events import START_MS, Sent
from bench.harness import Contestant, Standing, Stretch, python, run, say

TITLE = "Recovery of a table from its changelog"
TOPIC = "bench.restored"
PARTITIONS = 8
RECORDS = {"ours": 1_000_000, "Faust's own": 100_000}  # each for some seconds
CONTESTANTS = [
    Contestant("ours", python("bench.contestants.recovering"), "batching/"),
    Contestant("Faust's own", python("bench.contestants.recovering"), "memory store, bytes", ["faust"]),
]
_STRETCH = Stretch(0.0, 60.0)  # how long it may take


def changelog(number: int) -> Iterator[Sent]:
    """One record a key, as the count of question one writes them."""
    for index in range(number):
        yield Sent(b"s%07d@170000000" % index, b"%d" % (index % 1000), START_MS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the records, for a quick look")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    standings = [Standing(contestant) for contestant in CONTESTANTS]
    with broker.running() as kafka:
        asyncio.run(broker.create(kafka.address, TOPIC, PARTITIONS, {"retention.ms": "-1"}))
        for turn in range(args.rounds):
            for standing in standings:
                number = int(RECORDS[standing.contestant.name] * args.share)
                name = f"bench-recovery-{turn}-{len(standing.contestant.options)}"
                broker.fill(
                    kafka.address, f"{name}-counts-changelog", PARTITIONS, changelog(number),
                    {"cleanup.policy": "compact"},
                )  # fmt: skip
                ran = run(standing.contestant, kafka.address, TOPIC, PARTITIONS, number, _STRETCH, name=name)
                standing.runs.append(ran)
                say(f"  round {turn + 1}, {standing.contestant.name}: {ran.rate:,.0f} records/s")
    ours, stock = standings
    rows = [
        [
            f"{s.contestant.name} ({int(RECORDS[s.contestant.name] * args.share):,} records)",
            f"{s.rate:,.0f}",
            s.spread,
            f"{s.median('cpu_rate'):,.0f}",
            f"{s.median('rss_mb'):,.0f}",
        ]
        for s in standings
    ]
    text = report.table(["table", "records/s", "from round to round", "records/CPU s", "RSS MB"], rows)
    text += f"\nOurs is {ours.rate / stock.rate:.1f} × as fast. Bars: ≥ 80,000 records/s, ≥ 8 ×.\n"
    plot = report.bars(TITLE, {s.contestant.name: s.rate for s in standings}, "records/s")
    say(f"\n{text}\n{report.machine()}\n{report.write(args.out, 'recovery', TITLE, text, plot)}")


if __name__ == "__main__":
    main()
