"""`classpulse status` and `classpulse logs`: what runs here, where, and how it is."""

import contextlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import oncall
from cli.desk import TIMEOUT_S, Desk, Told
from stack import answers, child, state
from stack.home import Home
from stack.state import Run, Service

WATCH_S = 2.0
EXIT_FAILING = 1
EXIT_AWAY = 3  # as of `classpulse lag`, where 2 is a wrong option

HIDDEN = "…"
_PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]*@")

_STYLES = {"ready": "green", "starting": "yellow", "restarting": "yellow", "waiting": "dim", "failed": "red"}

console = Console()


def status(
    json: Annotated[bool, typer.Option("--json", help="every address, port and pid, for programs")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="go on, until Ctrl-C")] = False,
    url: Annotated[str, typer.Option(help="a gateway elsewhere; default: the stack of this home")] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(envvar="CLASSPULSE_ADMIN_KEY_FILE", dir_okay=False, help="with an admin's key for the gateway"),
    ] = None,
) -> None:
    """What runs, where, and how it is: first the verdict, and why. Exit codes: 0 it runs; 1 it is failing; 2 a wrong
    option; 3 nothing runs, or the gateway does not answer."""
    if json and watch:
        raise typer.BadParameter("--watch goes on, and --json is one answer: give one of both")
    code = _show(json, url, key_file, over=watch)
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(WATCH_S)
                _show(json, url, key_file, over=True)
        return
    raise typer.Exit(code)


def whole(home: Home) -> dict[str, Any]:
    """What `--json` tells."""
    run = _run(home)
    return _whole(run, _health(run))


def _whole(run: Run, health: Mapping[str, Any]) -> dict[str, Any]:
    workers = health.get("workers", [])
    return {**msgspec.to_builtins(run), "environment": _shown(run.environment), "workers": workers}


def _run(home: Home) -> Run:
    run = state.read(home)
    run.services = [service for service in run.services if service.kind != "task" or service.state == "failed"]
    return run


def _show(json: bool, url: str, key_file: Path | None, *, over: bool = False) -> int:
    """The exit code. `over`: in place of what was shown before."""
    home = Home.of(os.environ)
    run = _run(home)
    told = _desk(url, key_file, home, run).ask() if url or (run.state != "stopped" and run.dashboard) else Told()
    if json:
        here = {} if url else _whole(run, told.health)
        system = {"system": told.system or None, "consumers": told.consumers or None, "refusal": told.refusal}
        typer.echo(msgspec.json.format(msgspec.json.encode({**here, **system})))
    else:
        with console.capture() as capture:  # so that what is watched is there at once
            _print(run, url, told)
        if over:
            console.clear()
        console.file.write(capture.get())
        console.file.flush()
    if not told.health:
        return EXIT_AWAY
    return EXIT_FAILING if told.system.get("verdict") == "failing" else 0


def _desk(url: str, key_file: Path | None, home: Home, run: Run) -> Desk:
    if url:
        return Desk(f"{url.rstrip('/')}/", key_file, home, "")
    return Desk(run.dashboard, key_file, home, run.environment.get("CLASSPULSE_POSTGRES_URL", ""))


def _print(run: Run, url: str, told: Told) -> None:
    if url:
        console.print(url, soft_wrap=True)
    else:
        dashboard = run.dashboard if run.state == "running" else ""
        console.print(f"{run.state}   {dashboard}   home: {run.home}", soft_wrap=True)
        if run.error:
            console.print(run.error, style="red", markup=False, soft_wrap=True)
        if run.state == "stopped":
            return
    for each in oncall.shown(told):
        console.print(each, highlight=False)
    if not url:
        console.print(_services(run))
    workers = told.health.get("workers", [])
    console.print(_workers(workers) if workers else "The gateway tells of no workers.")


def logs(
    name: Annotated[str, typer.Argument(help="of a service; default: all")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="how many of the last lines")] = 20,
) -> None:
    """The last lines of a process's log, or of all."""
    folder = Home.of(os.environ).log("any").parent
    found = sorted(folder.glob(f"{name or '*'}.log"))
    if not found:
        there = ", ".join(log.stem for log in sorted(folder.glob("*.log"))) or "none"
        console.print(f"there is no log of {name or 'anything'} in {folder}; there are: {there}", soft_wrap=True)
        raise typer.Exit(1)
    for log in found:
        console.print(Text(f"── {log.stem} ── {log}", style="bold"), soft_wrap=True)
        console.print("\n".join(child.tail(log, lines)), markup=False, highlight=False, soft_wrap=True)


def _shown(environment: Mapping[str, str]) -> dict[str, str]:
    """Without secrets: those are in `run.json` of the home, which only its owner may read."""
    return {
        name: HIDDEN if value and name.endswith("_TOKEN") else _PASSWORD.sub(rf"\1{HIDDEN}@", value)
        for name, value in environment.items()
    }


def _health(run: Run) -> dict[str, Any]:
    """What the gateway says; nothing where it does not answer."""
    if run.state == "stopped" or not run.dashboard:
        return {}
    found = answers.http_json(f"{run.dashboard}api/v1/health", timeout_s=TIMEOUT_S)
    return found[1] if found is not None and isinstance(found[1], dict) else {}


def _services(run: Run) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("service", "state", "pid", "address", "restarts", ""):
        table.add_column(column, justify="right" if column in ("pid", "restarts") else "left")
    for service in run.services:
        table.add_row(*_row(service))
    return table


def _row(service: Service) -> tuple[str | Text, ...]:
    shown = f"{service.state} (external)" if service.kind == "external" else service.state
    return (
        service.name,
        Text(shown, style=_STYLES.get(service.state, "")),
        str(service.pid or ""),
        service.address,
        str(service.restarts or ""),
        Text(service.detail),
    )


def _workers(workers: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("worker", "pid", "partitions", "handled", "unread", "last progress", "ready"):
        table.add_column(column, justify="right" if column in ("pid", "handled", "unread") else "left")
    for worker in workers:
        held = "  ".join(f"{topic} {_ranges(numbers)}" for topic, numbers in worker["partitions"].items())
        last = worker["last_progress_ms"]
        table.add_row(
            worker["app"],
            str(worker["pid"]),
            held or "none",
            f"{worker['events_handled']:,}",
            f"{worker['lag_records']:,}",
            "never" if last is None else f"{max(0.0, time.time() - last / 1000):.0f} s ago",
            Text("ready", style="green") if worker["ready"] else Text(worker["reason"], style="yellow"),
        )
    return table


def _ranges(numbers: list[int]) -> str:
    """0,1,2,5 → 0-2,5"""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
