"""Twelve faults, caused for real on the whole stack with the demo classroom: what is said of each, after how long, and
how long until all is well again. `python -m bench.drill`, or `--only hot` for those of that name.

What is timed begins when the fault is caused, and when it is undone: a server is back when it answers. The first reason
of `system-status` must be the right one.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import house, report
from bench.faults import FAULTS, Fault
from bench.harness import BenchError, say
from bench.house import House, is_well

TITLE = "Twelve faults"
BAR_S = 15.0
GIVEN_UP_S = 60.0
POLL_S = 0.2


@dataclass
class Told:
    fault: Fault
    verdict: str = ""
    says: str = ""
    told_s: float | None = None
    well_s: float | None = None
    before: list[str] = field(default_factory=list)  # what was said first, where it was something else

    @property
    def right(self) -> bool:
        return self.told_s is not None and self.well_s is not None

    @property
    def in_time(self) -> bool:
        return self.right and max(self.told_s or 0.0, self.well_s or 0.0) <= BAR_S


def wait(stack: House, holds: Callable[[Any], bool], within_s: float, since_s: float) -> float | None:
    """Seconds from `since_s` until the status is so; None: it did not become so."""
    while (now_s := time.monotonic()) - since_s < within_s:
        status = stack.status()
        if status is not None and holds(status):
            return time.monotonic() - since_s
        time.sleep(max(0.0, POLL_S - (time.monotonic() - now_s)))
    return None


def one(stack: House, fault: Fault) -> Told:
    told = Told(fault)

    def is_told(status: Any) -> bool:
        if is_well(status):
            return False
        first = status["reasons"][0]
        if first["runbook"].endswith(f"#{fault.section}") and re.search(fault.says, first["says"]):
            told.verdict, told.says = status["verdict"], first["says"]
            return True
        if (line := f"{first['about']}: {first['says']}")[:60] not in {before[:60] for before in told.before}:
            told.before.append(line)
        return False

    steps = fault.steps(stack)
    try:
        next(steps)
        stack.until_calm()
        next(steps)
        told.told_s = wait(stack, is_told, GIVEN_UP_S, time.monotonic())
        next(steps)
        told.well_s = wait(stack, is_well, GIVEN_UP_S, time.monotonic())
    finally:
        steps.close()
    return told


def row(told: Told) -> list[str]:
    seconds = [f"{each:.1f}" if each is not None else f"not in {GIVEN_UP_S:.0f}" for each in (told.told_s, told.well_s)]
    return [told.fault.name, told.verdict or "wrong", seconds[0], seconds[1], told.says or "; ".join(told.before)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="faults with this in their name")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    chosen = [fault for fault in FAULTS if not args.only or any(name in fault.name for name in args.only)]
    found: list[Told] = []
    with house.running() as stack:
        for fault in chosen:
            try:
                told = one(stack, fault)
            except BenchError as error:  # the others are asked all the same
                told = Told(fault, before=[str(error)])
            found.append(told)
            say("  " + " | ".join(row(told)))
            for line in told.before:
                say(f"    before it: {line}")
    text = f"Bar: the right one within {BAR_S:.0f} s, and `ok` within {BAR_S:.0f} s of the end.\n\n" + report.table(
        ["fault", "verdict", "s to it", "s back to ok", "its sentence"], [row(told) for told in found]
    )
    times = {told.fault.name: told.told_s or GIVEN_UP_S for told in found}
    if len(chosen) == len(FAULTS):
        file = report.write(args.out, "drill", TITLE, text, report.bars(TITLE, times, "s to the right verdict"))
        sys.stdout.write(file.read_text())
    else:
        sys.stdout.write(f"{text}\n")
    if wrong := [told.fault.name for told in found if not told.right]:
        sys.exit(f"told wrong, or not well again: {', '.join(wrong)}")
    if late := [told.fault.name for told in found if not told.in_time]:
        sys.exit(f"later than {BAR_S:.0f} s: {', '.join(late)}")


if __name__ == "__main__":
    main()
