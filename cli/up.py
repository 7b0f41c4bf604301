"""`classpulse up` and `classpulse down`: the local stack, in the foreground or detached."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.display import Display
from stack import child, launcher, plan, state
from stack.errors import StackError
from stack.home import Home
from stack.influx import BUCKET, ORG
from stack.plan import Elsewhere
from stack.state import Run

STOP_TIMEOUT_S = 120.0  # of a launcher that stops in order, before it is killed
_POLL_S = 0.1
_SERVER = "one that somebody else runs"

console = Console()


def up(
    detach: Annotated[bool, typer.Option("--detach", help="return when everything is ready")] = False,
    empty: Annotated[bool, typer.Option("--empty", help="without the demo classroom")] = False,
    kafka: Annotated[str, typer.Option(envvar="CLASSPULSE_KAFKA", help=f"HOST:PORT[,…] of {_SERVER}")] = "",
    redis: Annotated[str, typer.Option(envvar="CLASSPULSE_REDIS_URL", help=f"redis:// URL of {_SERVER}")] = "",
    postgres: Annotated[
        str, typer.Option(envvar="CLASSPULSE_POSTGRES_URL", help=f"postgresql:// URL of {_SERVER}")
    ] = "",
    influx: Annotated[
        str,
        typer.Option(envvar="CLASSPULSE_INFLUX_URL", help=f"http:// URL of {_SERVER}; token: CLASSPULSE_INFLUX_TOKEN"),
    ] = "",
) -> None:
    """Start everything, with the demo classroom, and print the dashboard's address."""
    home = Home.of(os.environ)
    elsewhere = Elsewhere(
        kafka=kafka,
        redis=redis,
        postgres=postgres,
        influx=influx,
        influx_token=os.environ.get("CLASSPULSE_INFLUX_TOKEN", ""),
        influx_org=os.environ.get("CLASSPULSE_INFLUX_ORG") or ORG,
        influx_bucket=os.environ.get("CLASSPULSE_INFLUX_BUCKET") or BUCKET,
    )
    if home.launcher_pid is not None:
        console.print(f"A stack already runs in {home.folder} (launcher: process {home.launcher_pid}).", soft_wrap=True)
        if (run := state.read(home)).state == "running":
            _welcome(run)
        else:
            _follow(home, lambda: home.launcher_pid is not None)
    elif detach:
        _detach(home, elsewhere, empty)
    else:
        _launch(home, elsewhere, empty)


def down() -> None:
    """Stop what `up` started."""
    home = Home.of(os.environ)
    try:
        if home.launcher_pid is not None:
            console.print("Stopping …")
        ended = child.end(home.launcher_pid_file, signal.SIGTERM, STOP_TIMEOUT_S)
        left = plan.end_leftovers(home)
    except StackError as error:
        _complain(str(error))
        raise typer.Exit(1) from None
    told = [*(["the stack"] if ended else []), *left]
    console.print(f"Stopped: {', '.join(told)}." if told else f"Nothing runs in {home.folder}.", soft_wrap=True)


def _launch(home: Home, elsewhere: Elsewhere, empty: bool) -> None:
    exit_code = 0
    with Display(console) as display:

        def show(run: Run) -> None:
            display.show(run)
            if run.state == "running":
                _welcome(run, "Ctrl-C" if console.is_terminal else "")

        try:
            launcher.launch(home, elsewhere, os.environ, empty=empty, show=show, say=_say)
        except StackError as error:
            with contextlib.suppress(OSError):  # the terminal was closed
                _complain(str(error))
            exit_code = 1
    launcher.leave(exit_code)


def _detach(home: Home, elsewhere: Elsewhere, empty: bool) -> None:
    """The launcher gets a session of its own, so it outlives this terminal. Addresses go by the environment, because
    they may hold passwords, and everybody may read a command line."""
    log = home.log("launcher")
    log.parent.mkdir(parents=True, exist_ok=True)
    home.run_file.unlink(missing_ok=True)
    addresses = {
        "CLASSPULSE_KAFKA": elsewhere.kafka,
        "CLASSPULSE_REDIS_URL": elsewhere.redis,
        "CLASSPULSE_POSTGRES_URL": elsewhere.postgres,
        "CLASSPULSE_INFLUX_URL": elsewhere.influx,
    }
    with log.open("ab") as out:
        since = out.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", *(["--empty"] if empty else [])],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **addresses},
            start_new_session=True,
        )
    try:
        _follow(home, lambda: process.poll() is None, log, since)
    except KeyboardInterrupt:
        console.print("Stopping …")
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_TIMEOUT_S)
        raise typer.Exit(130) from None


def _follow(home: Home, alive: Callable[[], bool], log: Path | None = None, since: int = 0) -> None:
    """Shows how a launcher gets on until everything is ready; exits with 1 and its reason where it ends before."""
    with Display(console) as display:
        while (run := state.read(home)).state != "running" and alive():
            display.show(run)
            time.sleep(_POLL_S)
        run = state.read(home)
        display.show(run)
    if run.state == "running":
        _welcome(run)
        return
    _complain(run.error or "\n".join(["the launcher ended:", *(child.tail(log, since_byte=since) if log else [])]))
    raise typer.Exit(1)


def _welcome(run: Run, stop: str = "") -> None:
    """The dashboard's address comes last, where the eye is."""
    command = os.path.relpath(sys.argv[0]) if sys.argv[0].endswith("classpulse") else "classpulse"
    console.print(
        f"\n  Door       POST {run.dashboard}api/v1/events, API key in {run.demo_key_file}"
        f"\n  Look       {command} status, {command} logs"
        f"\n  Stop       {stop or f'{command} down'}"
        f"\n  Dashboard  [bold]{run.dashboard}[/bold]\n",
        highlight=False,
        soft_wrap=True,
    )


def _say(text: str, style: str = "") -> None:
    Console(stderr=True).print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _complain(text: str) -> None:
    _say(text, "red")
