"""`classpulse keys create|list|revoke`: API keys of event producers and of admins."""

from pathlib import Path
from typing import Annotated

import typer
from msgspec import ValidationError, convert
from rich.console import Console
from rich.table import Table

from cli.db import EXIT_FAILED, POSTGRES, Postgres, RefusedError, Wait, complain, run, tell
from cli.letters import stamp
from cli.questions import author
from gateway.database import Database
from gateway.security import keys
from gateway.security.keys import KeyNameError, KeyRateError, Role
from stack.secret import write_secret
from wire.events import Id

app = typer.Typer(
    help="API keys of event producers and of admins.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(help="Whose it is; of a producer it is the `source` of its events.")]


def _courses(courses: list[str] | None) -> list[str]:
    for course in courses or []:
        try:
            convert(course, Id)
        except ValidationError:
            raise typer.BadParameter(f"{course!r} cannot be the id of a course") from None
    return courses or []


def _rate(rate: str | None) -> str | None:
    try:
        if rate is not None:
            keys.check_rate(rate)
    except KeyRateError as error:
        raise typer.BadParameter(str(error)) from None
    return rate


@app.command()
def create(
    name: Name,
    course: Annotated[
        list[str] | None,
        typer.Option(callback=_courses, help="A course it may send events of; may be given often. Default: all."),
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="For /api/v1/admin; it sends no events.")] = False,
    rate: Annotated[
        str | None,
        typer.Option(callback=_rate, help="How many events it may send, like 6000/minute. Default: the gateway's."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the key there, readable by its owner, not to the screen.")
    ] = None,
    ensure: Annotated[bool, typer.Option("--ensure", help="Do nothing where --file holds a good key of NAME.")] = False,
    postgres: Postgres = POSTGRES,
    wait: Wait = 30.0,
) -> None:
    """Make a key and show it, once: only its digest is kept."""
    if ensure and file is None:
        complain("--ensure needs --file: a key that was only shown cannot be looked at")
        raise typer.Exit(EXIT_FAILED)
    if admin and (course or rate):
        complain("--course and --rate are of a key that sends events; with --admin they would be no bound")
        raise typer.Exit(EXIT_FAILED)
    role = Role.ADMIN if admin else Role.PRODUCER
    wanted = name, role, frozenset(course or []) or None, rate
    held = _read(file) if ensure and file is not None else None

    async def make(database: Database) -> None:
        if held is not None:
            known = await keys.find(database, held)
            if known is not None and (known.name, known.role, known.courses, known.rate) == wanted:
                tell(f"{file} holds a good key named {name}")
                return
        try:
            key = await keys.create(database, name, course or [], role=role, rate=rate, replace=ensure, by=author())
        except KeyNameError as error:
            raise RefusedError(str(error)) from None
        if file is None:
            print(key)  # noqa: T201 - alone on its line, so that a script can take it
            return
        try:
            write_secret(file, key)
        except OSError as error:
            await keys.revoke(database, name, by=author())
            raise RefusedError(f"{file} cannot be written: {error.strerror}; the key was revoked") from None
        tell(f"key {name} written to {file}")

    run(make, postgres, wait)


@app.command("list")
def list_(postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Every key ever made, without the key itself."""

    async def show(database: Database) -> None:
        table = Table("name", "begins with", "courses", "rate", "created", "revoked", box=None)
        for key in await keys.listed(database):
            courses = "all" if key.courses is None else " ".join(sorted(key.courses))
            courses = courses if key.role is Role.PRODUCER else f"none: {key.role}"
            when = stamp(key.created_at), stamp(key.revoked_at)
            table.add_row(key.name, key.prefix, courses, key.rate or "", *when)
        Console().print(table, markup=False)

    run(show, postgres, wait)


@app.command()
def revoke(name: Name, postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """End a key. The door may take it for another 30 s."""

    async def end(database: Database) -> None:
        if not await keys.revoke(database, name, by=author()):
            raise RefusedError(f"there is no live key named {name!r}")
        tell(f"key {name} revoked")

    run(end, postgres, wait)


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):  # a file that cannot be used is replaced
        return None
