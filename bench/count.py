"""How many events a second: a 10 s tumbling count per student, its changelog on, one core, a real Kafka on another.

python -m bench.count            plain Faust, raw aiokafka with the same hot loop, ours
python -m bench.count --peers    also Quix Streams, Bytewax, and Kafka Streams where a JDK is found
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import broker, cores, events, kafka_streams, report
from bench.harness import PROJECT, Contestant, Standing, Stretch, python, rounds, say

TITLE = "10 s tumbling count per student, changelog on"
TOPIC = "bench.activity"
PARTITIONS = 8
STUDENTS = 5_000
EVENTS = 3_500_000  # more than the fastest gets through
PEERS_PYTHON = PROJECT / ".venv-bench" / "bin" / "python"

OURS = Contestant("ours", python("bench.contestants.ours"), "batching/, the lean unpacker")
PORTABLE = Contestant("ours, portable", python("bench.contestants.ours"), "batching/, ConsumerRecords", ["portable"])
FAUST = Contestant("plain Faust", python("bench.contestants.faust_plain"), "windowed table in memory")
RAW = Contestant("raw aiokafka", python("bench.contestants.raw_aiokafka"), "msgspec, ours' hot loop; no group")
# What the bars of issue 4 ask: ours at least so many times as fast.
BARS = {"plain Faust": 100, "raw aiokafka": 1, "Quix Streams": 12, "Bytewax": 12, "Kafka Streams": 4}


def peers() -> list[Contestant]:
    """Those that can run here; says which cannot, and why."""
    found = []
    if PEERS_PYTHON.exists():
        quix = python("bench.contestants.quix", str(PEERS_PYTHON))
        bytewax = python("bench.contestants.bytewax_fold", str(PEERS_PYTHON))
        found += [
            Contestant("Quix Streams", quix, "RocksDB, changelog"),
            Contestant("Bytewax", bytewax, "in memory, not durable"),
            Contestant("Bytewax, durable", bytewax, "SQLite recovery store every 1 s", ["recovery"]),
        ]
    else:
        say(f"Quix Streams and Bytewax are left out: {PEERS_PYTHON} is missing; `make bench-peers` installs them")
    if missing := kafka_streams.missing():
        say(f"Kafka Streams is left out: {', '.join(missing)} not found")
    else:
        found.append(Contestant("Kafka Streams", kafka_streams.command(), "1 thread, RocksDB, cache 64 MB"))
    return found


def table(standings: Sequence[Standing]) -> str:
    ours = next((standing.rate for standing in standings if standing.contestant is OURS and standing.runs), None)
    rows = []
    for standing in standings:
        if standing.failed:
            rows.append([standing.contestant.name, "failed", *[""] * 6])
            continue
        bar = BARS.get(standing.contestant.name)
        rows.append(
            [
                f"{standing.contestant.name} ({standing.contestant.about})",
                f"{standing.rate:,.0f}",
                standing.spread,
                f"{standing.median('cpu_rate'):,.0f}",
                f"{standing.median('rss_mb'):,.0f}",
                f"{standing.median('changelog'):,.0f}",
                f"{ours / standing.rate:.1f}" if ours else "",
                f"≥ {bar}" if bar and ours else "",
            ]
        )
    head = ["contestant", "events/s", "from round to round", "events/CPU s", "RSS MB", "changelog records"]
    return report.table([*head, "ours is × as fast", "bar"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="also those that are not Python or not ours")
    parser.add_argument("--only", action="append", default=[], help="a contestant by its name; may be given again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=float, default=1.5, help="seconds left out at the start of a run")
    parser.add_argument("--for", dest="for_s", type=float, default=5.0, help="seconds measured in a run")
    parser.add_argument("--events", type=int, default=EVENTS, help="how many the topic holds")
    parser.add_argument("--out", type=Path, default=report.RESULTS, help="folder for table and plot")
    args = parser.parse_args()

    contestants = [FAUST, RAW, OURS]
    if args.peers:
        contestants += [PORTABLE, *peers()]
    if args.only:
        contestants = [contestant for contestant in contestants if contestant.name in args.only]
    if not contestants:
        sys.exit(f"no such contestant: {', '.join(args.only)}")
    cores.keep_off()
    with broker.running() as kafka:
        took_s = broker.fill(kafka.address, TOPIC, PARTITIONS, events.plain(args.events, STUDENTS))
        say(f"{args.events:,} events of {STUDENTS:,} students over {PARTITIONS} partitions, written in {took_s:.0f} s")
        stretch = Stretch(args.warm, args.for_s)
        standings = rounds(contestants, args.rounds, kafka.address, TOPIC, PARTITIONS, args.events, stretch)
    name = "count-peers" if args.peers else "count"
    about = (
        f"{args.events:,} events of 200 bytes, {STUDENTS:,} students, {PARTITIONS} partitions. "
        f"Medians of {args.rounds} interleaved rounds; {args.warm:g} s to warm up, then {args.for_s:g} s measured.\n\n"
    )
    rates = {standing.contestant.name: standing.rate for standing in standings if not standing.failed}
    plot = report.bars(TITLE, rates, "events/s")
    text = table(standings)
    say(f"\n{text}\n{report.machine()}\n{report.write(args.out, name, TITLE, about + text, plot)}")
    if failed := [standing.contestant.name for standing in standings if standing.failed]:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
