"""`classpulse keys create|list|revoke`: API keys of event producers."""

from pathlib import Path
from typing import Annotated

import typer
from msgspec import ValidationError, convert
from rich.console import Console
from rich.table import Table

from cli.db import EXIT_FAILED, POSTGRES, Postgres, RefusedError, Wait, complain, run, tell
from gateway.database import Database
from gateway.security import keys
from gateway.security.keys import KeyNameError
from stack.secret import write_secret
from wire.events import Id

app = typer.Typer(
    help="API keys of event producers.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

Name = Annotated[str, typer.Argument(help="The producer; it is the `source` of its events.")]


def _courses(courses: list[str] | None) -> list[str]:
    for course in courses or []:
        try:
            convert(course, Id)
        except ValidationError:
            raise typer.BadParameter(f"{course!r} cannot be the id of a course") from None
    return courses or []


@app.command()
def create(
    name: Name,
    course: Annotated[
        list[str] | None,
        typer.Option(callback=_courses, help="A course it may send events of; may be given often. Default: all."),
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

    held = _read(file) if ensure and file is not None else None

    async def make(database: Database) -> None:
        if held is not None:
            known = await keys.find(database, held)
            if known is not None and known.name == name and known.courses == (frozenset(course or []) or None):
                tell(f"{file} holds a good key named {name}")
                return
        try:
            key = await keys.create(database, name, course or [], replace=ensure)
        except KeyNameError as error:
            raise RefusedError(str(error)) from None
        if file is None:
            print(key)  # noqa: T201 - alone on its line, so that a script can take it
            return
        try:
            write_secret(file, key)
        except OSError as error:
            await keys.revoke(database, name)
            raise RefusedError(f"{file} cannot be written: {error.strerror}; the key was revoked") from None
        tell(f"key {name} written to {file}")

    run(make, postgres, wait)


@app.command("list")
def list_(postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Every key ever made, without the key itself."""

    async def show(database: Database) -> None:
        table = Table("name", "begins with", "courses", "created", "revoked", box=None)
        for key in await keys.listed(database):
            courses = "all" if key.courses is None else " ".join(sorted(key.courses))
            revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M:%SZ}"
            table.add_row(key.name, key.prefix, courses, f"{key.created_at:%Y-%m-%d %H:%M:%SZ}", revoked)
        Console().print(table, markup=False)

    run(show, postgres, wait)


@app.command()
def revoke(name: Name, postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """End a key. The door may take it for another 30 s."""

    async def end(database: Database) -> None:
        if not await keys.revoke(database, name):
            raise RefusedError(f"there is no live key named {name!r}")
        tell(f"key {name} revoked")

    run(end, postgres, wait)


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):  # a file that cannot be used is replaced
        return None
