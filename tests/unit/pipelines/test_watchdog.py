"""A loop that does not turn: when it is said, when the process ends, and what its log shows."""

import subprocess
import sys

import pytest
from running import PATIENCE, PROJECT

from pipelines.watchdog import LOOK_S, WORST_OF_S, Lags, Stillness, Verdict
from wire import workers

SAID = {Verdict.FINE: ".", Verdict.DUMP: "D", Verdict.LEAVE: "L"}


def verdicts(turns: str, step_s: float = LOOK_S, dump_s: float = 1.0, leave_s: float = 2.5) -> str:
    """Of looks `step_s` apart at a loop that has turned ("t") since the look before, or not ("_")."""
    stillness, number, out = Stillness(dump_s, leave_s), 0, ""
    for index, turned in enumerate(turns):
        number += turned == "t"
        out += SAID[stillness.look(number, index * step_s)]
    return out


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ("tttttttttttttttt", "................"),
        ("tt______", "...D..LL"),  # 0.5 s a look: said at 1 s, left at 2.5 s
        ("tt___t___t", "...D...D.."),  # each time anew
        ("t_t_t_t_t_", ".........."),
    ],
)
def test_it_is_said_once_and_then_left(turns: str, expected: str) -> None:
    assert verdicts(turns) == expected


def test_a_process_that_was_stopped_was_not_blocked() -> None:
    stillness = Stillness(dump_s=10, leave_s=30)
    stillness.look(7, 0.0)
    assert stillness.look(7, 3_600.0) is Verdict.FINE  # continued; the loop has not come to turn yet
    assert stillness.still_s <= 2 * LOOK_S


def test_the_worst_of_a_minute_is_remembered_and_what_came_since_the_last_question() -> None:
    lags = Lags()
    for at_s, late_s in enumerate((0.1, 3.0, 0.2, 0.5)):
        lags.woke(late_s, float(at_s))
    assert (lags.since_asked_s(), lags.since_asked_s()) == (3.0, 0.0)
    assert lags.worst_s(4) == 3.0
    assert lags.worst_s(1 + WORST_OF_S + 0.5) == 0.5
    assert lags.worst_s(1_000) == 0.0


_BLOCKED = """
import asyncio, logging.config, time
from logs import lines
from pipelines.watchdog import Watchdog
logging.config.dictConfig(lines.config("json", "INFO", {}))

def stands_here(seconds):
    time.sleep(seconds)

async def main():
    watchdog = Watchdog(dump_s=0.5, leave_s=DEADLINE)
    watchdog.start()
    await asyncio.sleep(0.3)
    stands_here(BLOCK)
    await asyncio.sleep(0.3)
    watchdog.stop()

asyncio.run(main())
"""


def run_blocked(block_s: float, leave_s: float) -> subprocess.CompletedProcess[str]:
    code = _BLOCKED.replace("DEADLINE", str(leave_s)).replace("BLOCK", str(block_s))
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60 * PATIENCE, check=False
    )


def test_a_blocked_loop_is_seen_in_the_log_and_ends_the_process_with_a_code_of_its_own() -> None:
    done = run_blocked(block_s=600, leave_s=1.5)
    assert done.returncode == workers.EXIT_LOOP_BLOCKED
    assert "stands_here" in done.stderr  # where it stands
    assert done.stderr.count("in stands_here") == 1  # once
    assert "leaving so that it is started again" in done.stderr


def test_one_that_turns_again_goes_on() -> None:
    done = run_blocked(block_s=2, leave_s=60)
    assert done.returncode == 0
    assert "in stands_here" in done.stderr
