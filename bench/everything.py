"""Every question, one after the other, each within its own time: `make bench-all`. For a quiet machine; some 75 min."""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench import report
from bench.harness import PROJECT, say

# Module, its words, and the seconds after which it is given up.
QUESTIONS = (
    ("count", ("--peers",), 480.0),
    ("aggregate", (), 300.0),
    ("latency", (), 240.0),
    ("recovery", (), 180.0),
    ("rebalance", (), 180.0),
    ("memory", (), 240.0),
    ("growth", (), 300.0),
    ("ingest", (), 180.0),
    ("fanout", (), 480.0),
    ("fanout", ("--viewers", "5000", "--rounds", "1"), 600.0),
    ("slow_viewer", (), 180.0),
    ("reconnect", (), 240.0),
    ("frame", (), 480.0),
    ("monitoring", (), 480.0),
    ("health", (), 360.0),
    ("rolling", (), 480.0),
    ("drill", (), 1_200.0),
    ("quiet", (), 1_500.0),
)
_STOP_S_MAX = 60.0


def ask(name: str, words: tuple[str, ...], within_s: float, out: Path) -> str:
    """Why it has no answer; "" where it has one."""
    command = [sys.executable, "-m", f"bench.{name}", *words, "--out", str(out)]
    process = subprocess.Popen(command, cwd=PROJECT)
    try:
        code = process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it stops its servers and removes its folder
        try:
            process.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()  # its children end with it: they are on a leash
            process.wait()
        return f"not done after {within_s:.0f} s"
    return f"ended with exit code {code}" if code else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], choices=sorted({name for name, _, _ in QUESTIONS}))
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    started = time.monotonic()
    failed = {}
    for name, words, within_s in QUESTIONS:
        if args.only and name not in args.only:
            continue
        say(f"== {name}, {time.monotonic() - started:.0f} s")
        if reason := ask(name, words, within_s, args.out):
            failed[f"{name} {' '.join(words)}".strip()] = reason
            say(f"{name}: {reason}")
    say(f"All in {(time.monotonic() - started) / 60:.1f} min; tables and plots in {args.out}")
    if failed:
        sys.exit("\n".join(f"{name}: {reason}" for name, reason in failed.items()))


if __name__ == "__main__":
    main()
