"""`classpulse privacy export|erase`: what is held of one student, all over the house."""

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import redis.asyncio as redis
import typer
from msgspec import ValidationError, convert
from rich.console import Console
from rich.table import Table

from cli.db import POSTGRES, Postgres, Wait
from cli.questions import EXIT_FAILED, ask, author, complain
from cli.topics import KAFKA, Kafka
from gateway.admin.reading import Progress
from gateway.database import Database, DatabaseAwayError, connected
from gateway.history.influx import InfluxReader
from gateway.history.postgres import PostgresReader
from gateway.history.store import HistoryReader
from gateway.privacy import student as students
from gateway.privacy.store import Store
from gateway.privacy.student import Erased
from gateway.settings import GatewaySettings
from stack.secret import write_secret
from wire.events import Id

EXIT_NOT_THERE = 1
REDIS_TIMEOUT_S = 5.0

app = typer.Typer(
    help="What is held of one student: export it, erase it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

T = TypeVar("T")


def _id(text: str) -> str:
    try:
        return convert(text, Id)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} cannot be the id of a student") from None


Student = Annotated[str, typer.Argument(help="His id, as events have it.", callback=_id, metavar="STUDENT_ID")]
RedisUrl = Annotated[str, typer.Option("--redis", envvar="CLASSPULSE_REDIS_URL", help="Its URL.")]
InfluxUrl = Annotated[
    str,
    typer.Option("--influx", envvar="CLASSPULSE_INFLUX_URL", help="Its URL; empty: the history is in PostgreSQL."),
]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds that reading Kafka may take.")]

REDIS = "redis://127.0.0.1:6379/0"


@app.command()
def export(
    student: Student,
    file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write it there, readable by its owner, not to the screen.")
    ] = None,
    postgres: Postgres = POSTGRES,
    redis_url: RedisUrl = REDIS,
    influx: InfluxUrl = "",
    kafka: Kafka = KAFKA,
    timeout: Timeout = 300.0,
    wait: Wait = 30.0,
) -> None:
    """All that is held of a student, as one JSON document. It is recorded in the audit log."""
    exported = _asked(
        lambda database, stores: students.export(database, stores, student, by=author()),
        (postgres, redis_url, influx, kafka),
        timeout,
        wait,
    )
    document = {"student_id": student, "complete": not exported.gaps, "gaps": exported.gaps, "held": exported.held}
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    if file is None:
        typer.echo(text)
    else:
        try:
            write_secret(file, text)
        except OSError as error:
            complain(f"{file} cannot be written: {error.strerror}")
            raise typer.Exit(EXIT_FAILED) from None
    _end(exported.gaps, found=exported.found, student=student)


@app.command()
def erase(
    student: Student,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, it is only said what would be done.")] = False,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit log. Needed with --yes.")] = "",
    postgres: Postgres = POSTGRES,
    redis_url: RedisUrl = REDIS,
    influx: InfluxUrl = "",
    kafka: Kafka = KAFKA,
    timeout: Timeout = 300.0,
    wait: Wait = 30.0,
) -> None:
    """Erase a student: his name, account and numbers at once; of the rest it is said when it goes by itself."""
    if yes and not reason.strip():
        raise typer.BadParameter("--yes needs a --reason: it is kept in the audit log")
    by = author()

    async def work(database: Database, stores: list[Store]) -> Erased:
        looked_at = await students.look(stores, student)
        # A slip of the pen is not recorded as somebody's erasure; what is away may hold something.
        if not yes or not (looked_at.found or looked_at.gaps):
            return looked_at
        return await students.erase(database, stores, student, by=by, why=reason.strip())

    erased = _asked(work, (postgres, redis_url, influx, kafka), timeout, wait)
    table = Table("where", "number", "erased" if erased.done else "would be erased", box=None)
    for lot in erased.lots:
        table.add_row(lot.where, "?" if lot.number is None else f"{lot.number:,}", lot.goes or "yes")
    console.print(table, markup=False)
    if not yes:
        console.print("Nothing was done: --yes does it. Stop first whoever sends his events.", style="dim")
    _end(erased.gaps, found=erased.found, student=student)


def _asked(
    question: Callable[[Database, list[Store]], Awaitable[T]],
    at: tuple[str, str, str, str],
    timeout_s: float,
    wait_s: float,
) -> T:
    """`at`: where PostgreSQL, Redis, InfluxDB and Kafka are."""
    postgres, redis_url, influx_url, kafka = at

    async def answered(progress: Progress) -> T:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(connected(postgres, wait_s))
            client = redis.from_url(
                redis_url,
                decode_responses=True,
                socket_timeout=REDIS_TIMEOUT_S,
                socket_connect_timeout=REDIS_TIMEOUT_S,
            )
            stack.push_async_callback(client.aclose)
            history = _history(influx_url, database)
            stack.push_async_callback(history.close)
            return await question(database, students.stores(database, history, client, kafka, timeout_s, progress))

    try:
        return ask("records", answered)
    except DatabaseAwayError as error:
        complain(str(error))
        raise typer.Exit(EXIT_FAILED) from None


def _history(influx_url: str, database: Database) -> HistoryReader:
    if not influx_url:
        return PostgresReader(database)
    # As the gateway reads them; a token is no option, because everybody on the machine could read it.
    org, bucket = (GatewaySettings.model_fields[name].default for name in ("influx_org", "influx_bucket"))
    return InfluxReader(
        influx_url,
        os.environ.get("CLASSPULSE_INFLUX_TOKEN", ""),
        os.environ.get("CLASSPULSE_INFLUX_ORG", org),
        os.environ.get("CLASSPULSE_INFLUX_BUCKET", bucket),
    )


def _end(gaps: list[str], *, found: bool, student: str) -> None:
    for gap in gaps:
        complain(gap)
    if gaps:
        complain("not all of it was reached: the same again asks for all of it")
        raise typer.Exit(EXIT_FAILED)
    if not found:
        complain(f"nothing is held of {student!r}")
        raise typer.Exit(EXIT_NOT_THERE)
