"""The counting app under random trouble for as long as you like, compared with the truth after each: `make soak`.

Ends at the first wrong number, and keeps the logs.
"""

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from counting import PARTITIONS, Counting
from counting_trouble import Tally, Trouble
from running import PROJECT

from stack.kafka import Kafka


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def soak(kafka: Kafka, folder: Path, seconds: float, rounds: int, seed: int) -> Tally:
    began = time.monotonic()
    async with Counting(kafka.address, folder, seed=seed) as app:
        await app.create_topics()
        await app.create_changelog()
        trouble = Trouble(app, seed, kafka)
        async with app.truth() as truth:
            for number in range(1, rounds + 1):
                what = await trouble.round(truth)
                tally = trouble.tally
                windows, over, under = tally.verdict
                say(f"{time.monotonic() - began:6.0f} s {number:4} {what:34} {windows:9,} windows {over=} {under=}")
                if not tally.exact or time.monotonic() - began > seconds:
                    break
        say(f"\n{app.sent.total():,} events of {PARTITIONS} partitions in {time.monotonic() - began:,.0f} s, {seed=}\n")
        return trouble.tally


def table(tally: Tally) -> str:
    rows = [(what, f"{times:,}") for what, times in tally.troubles.most_common()]
    rows += [
        ("all of them", f"{tally.troubles.total():,}"),
        ("workers killed by SIGKILL", f"{tally.kills:,}"),
        ("workers that ended by themselves", f"{len(tally.left):,}"),
        ("comparisons", f"{tally.checks:,}"),
        ("windows, in the last comparison", f"{tally.verdict.windows:,}"),
        ("windows, in all comparisons", f"{tally.compared:,}"),
        ("events counted too often", f"{tally.verdict.over:,}"),
        ("events not counted", f"{tally.verdict.under:,}"),
    ]
    return "\n".join([*(f"  {name:44}{value:>12}" for name, value in rows), *tally.left])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="no new round after so long")
    parser.add_argument("--rounds", type=int, default=100_000, help="at most so many")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    args = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that the broker is away is meant
    say(f"seed {args.seed}: the same trouble again with --seed {args.seed}, at other moments")
    folder = Path(tempfile.mkdtemp(prefix="classpulse-soak-"))
    kafka = Kafka(folder / "kafka", cache=PROJECT / ".classpulse" / "cache")
    try:
        kafka.start()
        tally = asyncio.run(soak(kafka, folder, args.seconds, args.rounds, args.seed))
    except BaseException:
        say(f"The logs are in {folder}")
        raise
    finally:
        kafka.stop()
    say(table(tally))
    if not tally.exact:
        sys.exit(f"Wrong. The logs are in {folder}")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
