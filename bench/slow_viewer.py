"""What one viewer who reads nothing does to a thousand others of the same gateway: their p99 with and without him.

He watches every scope with a small buffer, so that he is full within a second, and leaves before he would be cut off.
With and without take turns on one gateway, so that what the machine does meanwhile hits both alike.
`python -m bench.slow_viewer`
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench import broker, cores, report
from bench.audience import Audience, Careful, opened
from bench.fanout import OURS, SCOPES, SETTLE_S, Published, percentile, run_ticks, running
from bench.harness import say
from stack.valkey import Valkey

TITLE = "One slow viewer among many"
WITHOUT, WITH = "nobody is slow", "one reads nothing"
BUFFER_BYTES = 4_096
FULL_TICKS = 20  # until he is full: left out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ticks", type=int, default=60, help="measured in a round, each way")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    cores.keep_off()
    p99_ms: dict[str, list[float]] = {WITHOUT: [], WITH: []}
    with tempfile.TemporaryDirectory(prefix="classpulse-bench-") as folder:
        valkey = Valkey(Path(folder) / "valkey", cache=broker.CACHE)
        valkey.start()
        try:
            with running(OURS, valkey.url) as (port, _, _):
                source, audience = Published(valkey.url), Audience(port)
                audience.arrive(args.viewers, SCOPES)
                time.sleep(SETTLE_S)
                for number in range(2 * args.rounds):
                    which = (WITHOUT, WITH)[number % 2]
                    slow = opened(port, Careful, SCOPES, buffer=BUFFER_BYTES) if which == WITH else None
                    run_ticks(source, audience, FULL_TICKS)
                    took: list[float] = []
                    run_ticks(source, audience, args.ticks, took.append)
                    audience.acknowledge()
                    if slow is not None:
                        slow.link.close()
                    p99_ms[which].append(1_000 * percentile(sorted(took), 0.99))
                    say(f"  {which}: p99 {p99_ms[which][-1]:.1f} ms")
                audience.leave()
        finally:
            valkey.stop()
    middle = {which: statistics.median(each) for which, each in p99_ms.items()}
    change = f"{100 * (middle[WITH] / middle[WITHOUT] - 1):+.0f} %"
    rows = [
        [which, f"{middle[which]:.1f}", f"{min(each):.1f} to {max(each):.1f}", change if which == WITH else "", bar]
        for (which, each), bar in zip(p99_ms.items(), ("", "< 10 %"), strict=True)
    ]
    text = (
        f"{args.viewers:,} viewers, 10 ticks a second; medians of {args.rounds} rounds of {args.ticks} ticks each way, "
        "by turns on one gateway. From before a tick is published until one of the others has it whole.\n\n"
        + report.table(["who", "p99 of the others, ms", "from round to round", "change", "bar"], rows)
    )
    file = report.write(args.out, "slow-viewer", TITLE, text, report.bars(TITLE, middle, "p99, ms"))
    sys.stdout.write(file.read_text())


if __name__ == "__main__":
    main()
