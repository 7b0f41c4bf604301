"""`classpulse demo`: the simulated classroom, an ordinary producer at the HTTP door."""

import asyncio
import csv
import logging.config
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Literal

import structlog
import typer

from cli.replay import read_key
from logs import lines
from producers.classroom import STEP_MS, Classroom
from producers.door import Door, DoorAwayError, DoorClosedError
from producers.school import Member, roster

DEFAULT_SEED = 153
DEFAULT_RATE = 20.0
PATIENCE_S = 20.0  # a door away for longer: what the class did meanwhile is not sent late, and it is said
QUIETER = {"httpx": "WARNING", "httpcore": "WARNING"}  # they tell of every request, which is one a second

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The simulated classroom.")
log = structlog.get_logger(__name__)

Seed = Annotated[int, typer.Option(help="the same seed gives the same school and the same lesson")]


@app.command("roster")
def write_roster(out: Annotated[Path, typer.Option(help="where to write the CSV")], seed: Seed = DEFAULT_SEED) -> None:
    """Write the demo school's roster, as `classpulse roster import` reads it."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Member)])
        writer.writeheader()
        writer.writerows(asdict(member) for member in roster(seed))


@app.command()
def run(
    url: Annotated[str, typer.Option(envvar="CLASSPULSE_URL", help="the gateway's address")] = "http://127.0.0.1:8000",
    key: Annotated[str, typer.Option(envvar="CLASSPULSE_KEY", help="API key")] = "",
    key_file: Annotated[Path | None, typer.Option(envvar="CLASSPULSE_KEY_FILE", help="file with the API key")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="mean events a second of the class")] = DEFAULT_RATE,
    seed: Seed = DEFAULT_SEED,
    for_s: Annotated[float | None, typer.Option("--for", min=0, help="seconds; default: until stopped")] = None,
    log_format: Annotated[
        Literal["console", "json"], typer.Option(envvar="CLASSPULSE_LOG_FORMAT", help="how log lines are written")
    ] = "console",
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        typer.Option(envvar="CLASSPULSE_LOG_LEVEL", help="least level logged"),
    ] = "INFO",
) -> None:
    """Let the class work, in real time, until Ctrl-C."""
    logging.config.dictConfig(lines.config(log_format, log_level, QUIETER))
    try:
        asyncio.run(_teach(url, read_key(key, key_file), Classroom(list(roster(seed)), seed, rate), for_s))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except DoorClosedError as error:
        log.error("the door does not take our events", error=str(error))
        raise typer.Exit(1) from None


async def _teach(url: str, key: str, classroom: Classroom, for_s: float | None) -> None:
    """Sends each second's events when it is over. Seconds follow an absolute schedule, so nothing drifts."""
    second_ms = int(time.time()) * 1000
    last_ms = None if for_s is None else second_ms + int(for_s * 1000)
    accepted = rejected = 0
    async with Door(url, key, PATIENCE_S) as door:
        while last_ms is None or second_ms < last_ms:
            events = classroom.step(second_ms)
            second_ms += STEP_MS
            await asyncio.sleep(max(0.0, second_ms / 1000 - time.time()))
            try:
                answer = await door.post(events)
            except DoorAwayError as error:
                log.warning("not sent", events=len(events), error=str(error))
                continue
            finally:
                # After a long wait the class goes on from now; it does not make up for what it did meanwhile.
                behind_ms = int(time.time() * 1000) - second_ms
                if behind_ms > PATIENCE_S * 1000:
                    log.warning("goes on from now", skipped_s=behind_ms // 1000)
                    second_ms = int(time.time()) * 1000
            accepted += answer.accepted
            rejected += len(answer.rejected)
            if answer.rejected:
                log.warning("rejected", first=answer.rejected[0].reason, field=answer.rejected[0].field)
            if second_ms % 60_000 == 0:
                log.info("a minute's work", accepted=accepted, rejected=rejected)
                accepted = rejected = 0
