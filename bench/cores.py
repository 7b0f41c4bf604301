"""Which processor runs what: the contestant has one core to itself, the broker and the harness have the others."""

import os
import shutil


def _usable() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


_USABLE = _usable()
CONTESTANT = _USABLE[-1]
OTHERS = _USABLE[:-1] or _USABLE
PINS = hasattr(os, "sched_setaffinity") and shutil.which("taskset") is not None


def keep_off() -> None:
    """This process and what it starts from now on leave the contestants' core alone."""
    if PINS:
        os.sched_setaffinity(0, OTHERS)


def pinned(command: list[str]) -> list[str]:
    return ["taskset", "-c", str(CONTESTANT), *command] if PINS else command


def said() -> str:
    if not PINS:
        return "not pinned: this system has no taskset"
    return f"contestant on core {CONTESTANT}, broker and harness on {', '.join(map(str, OTHERS))}"
