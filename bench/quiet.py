"""Whether anybody is woken for nothing: the whole stack with the demo classroom, left alone and asked every second.

Whatever `system-status` says but `ok` is a false alarm. `python -m bench.quiet`
"""

import argparse
import sys
import time
from pathlib import Path

from bench import house, report
from bench.alarms import Alarms
from bench.harness import say

TITLE = "False alarms of a quiet lesson"
LOOK_S = 1.0
TOLD_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    latencies: list[tuple[float, float]] = []
    with house.running() as stack:
        stack.until_calm()
        alarms = Alarms(stack)
        began_s = told_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < 60 * args.minutes:
            status = alarms.look()
            if status and status["probe"] and status["probe"]["latency_s"] is not None:
                latencies.append((passed_s, 1_000 * status["probe"]["latency_s"]))
            if time.monotonic() - told_s > TOLD_S:
                told_s = time.monotonic()
                say(f"  {passed_s / 60:.0f} min, false alarms: {len(alarms.found)}")
            time.sleep(LOOK_S)
    rows = [
        ["looks", f"{alarms.looks:,}", ""],
        ["without an answer", f"{alarms.unanswered:,}", ""],
        ["false alarms", f"{len(alarms.found):,}", "0"],
        ["the slowest probe, ms", f"{max((ms for _, ms in latencies), default=0.0):,.0f}", ""],
    ]
    text = f"{args.minutes:.0f} min.\n\n" + report.table(["what", "figure", "bar"], rows) + alarms.listed()
    plot = report.lines(TITLE, {"a probe": latencies or [(0.0, 0.0)]}, "s", "ms from door to viewer", log=False)
    file = report.write(args.out, "quiet", TITLE, text, plot)
    sys.stdout.write(file.read_text())
    if alarms.found:
        sys.exit(f"false alarms: {len(alarms.found)}")


if __name__ == "__main__":
    main()
