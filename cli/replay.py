"""`classpulse replay FILE`: a real export, through the same door as everybody."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from producers import export
from producers import replay as replaying
from producers.door import Door, DoorAwayError, DoorClosedError, Event

SHOWN = 10  # problems and rejections told in full
LATENESS = timedelta(hours=1)  # as CLASSPULSE_LATENESS_S has it by default
PATIENCE_S = 300.0  # a door that is away for longer ends the replay, which can be resumed

console = Console()
errors = Console(stderr=True)


def read_key(key: str, key_file: Path | None) -> str:
    """The API key from wherever it was given; exits with what is missing."""
    try:
        found = key or (key_file.read_text().strip() if key_file else "")
    except OSError as error:
        errors.print(f"the key file cannot be read: {error}")
        raise typer.Exit(2) from None
    if not found:
        errors.print("an API key is needed: --key-file FILE, or CLASSPULSE_KEY; `classpulse keys create` makes one")
        raise typer.Exit(2)
    return found


def replay(
    file: Annotated[Path, typer.Argument(help="xAPI statements: JSON lines or an array, plain or gzip", exists=True)],
    url: Annotated[str, typer.Option(envvar="CLASSPULSE_URL", help="the gateway's address")] = "http://127.0.0.1:8000",
    key: Annotated[str, typer.Option(envvar="CLASSPULSE_KEY", help="API key")] = "",
    key_file: Annotated[Path | None, typer.Option(envvar="CLASSPULSE_KEY_FILE", help="file with the API key")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="1 = as it happened; default: as fast as it goes")
    ] = None,
    shift_to_now: Annotated[
        bool, typer.Option(help="as if it happened now: last event, with --speed first event")
    ] = False,
    unsorted: Annotated[bool, typer.Option("--unsorted", help="keep the file's order")] = False,
    course: Annotated[str, typer.Option(help="course of statements that name none")] = "unknown",
    restart: Annotated[bool, typer.Option("--restart", help="do not go on where an interrupted replay was")] = False,
) -> None:
    """Send a real export of xAPI statements through the door."""
    api_key = read_key(key, key_file)
    try:
        found = export.load(file, course, sort=not unsorted)
    except (OSError, EOFError) as error:
        errors.print(f"{file} cannot be read: {error}")
        raise typer.Exit(2) from None
    for problem in found.problems[:SHOWN]:
        errors.print(f"{file}:{problem.line}: {problem.reason}", highlight=False, markup=False)

    save_to = replaying.progress_file(
        Path(os.environ.get("CLASSPULSE_HOME", ".classpulse")) / "replay", file, url, unsorted, course, shift_to_now
    )
    progress = None if restart else replaying.read_progress(save_to)
    if progress and progress.sent:
        console.print(f"going on after {progress.sent:,} events sent before; --restart begins anew")
    if progress is None:
        by = replaying.shift_to_now(found.events, replaying.utc_now(), speed) if shift_to_now else timedelta()
        progress = replaying.Progress(shift_s=by.total_seconds())
    events = export.shifted(found.events, timedelta(seconds=progress.shift_s)) if progress.shift_s else found.events
    if events and replaying.utc_now() - min(export.times(events)) > LATENESS:
        console.print(
            "(Some of it is over an hour old. What lies further behind the newest event counted is kept as late, and"
            " changes no window: send old files to an empty stack, or with --shift-to-now --speed 1 to a running one.)"
        )

    try:
        outcome = asyncio.run(_send(url, api_key, events, progress, save_to, speed))
    except KeyboardInterrupt:
        errors.print(f"interrupted after {progress.sent:,} events; the same command goes on from there")
        raise typer.Exit(130) from None
    except (DoorClosedError, DoorAwayError) as error:
        errors.print(
            f"{error}\nstopped after {progress.sent:,} events; the same command goes on from there", markup=False
        )
        raise typer.Exit(1) from None

    save_to.unlink(missing_ok=True)  # finished: the same command again sends the file again
    for rejected in outcome.rejected[:SHOWN]:
        errors.print(f"rejected {rejected.event['event_id']}: {rejected.field}: {rejected.reason}", markup=False)
    for told, what in ((len(found.problems), "cannot be read"), (len(outcome.rejected), "were rejected")):
        if told > SHOWN:
            errors.print(f"and {told - SHOWN:,} more {what}")
    console.print(
        f"accepted {outcome.accepted:,}   duplicate {found.duplicates:,}   rejected {len(outcome.rejected):,}"
        f"   unreadable {len(found.problems):,}"
    )
    console.print("(duplicate: in this file. What was sent before counts once all the same; the pipeline drops it.)")
    if outcome.rejected or found.problems:
        raise typer.Exit(1)


async def _send(
    url: str,
    api_key: str,
    events: list[Event],
    progress: replaying.Progress,
    save_to: Path,
    speed: float | None,
) -> replaying.Outcome:
    bar = Progress(
        TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=errors, transient=True
    )
    async with Door(url, api_key, PATIENCE_S) as door:
        with bar:
            task = bar.add_task("", total=len(events), completed=progress.sent)
            return await replaying.replay(
                door,
                events,
                progress,
                lambda now: replaying.write_progress(save_to, now),
                speed,
                lambda settled: bar.advance(task, settled),
            )
