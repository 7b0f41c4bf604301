"""`classpulse roster import|show`: students, courses and teams."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.db import EXIT_FAILED, EXIT_REFUSED, POSTGRES, Postgres, Wait, complain, run, tell
from gateway import roster, roster_file
from gateway.database import Database
from gateway.roster_file import BYTES_MAX, RosterFileError

app = typer.Typer(
    help="Students, courses and teams.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _encoding(name: str | None) -> str | None:
    try:
        b" ".decode(name or "utf-8")
    except LookupError:
        raise typer.BadParameter(f"no encoding of text is called {name!r}") from None
    except UnicodeError:
        pass  # there is one, in which a single blank is no text
    return name


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help=f"CSV with the columns {', '.join(roster_file.COLUMNS)}; /dev/stdin reads what is piped in."
        ),
    ],
    encoding: Annotated[
        str | None, typer.Option(callback=_encoding, help="Default: UTF-8, or as its byte order mark says.")
    ] = None,
    postgres: Postgres = POSTGRES,
    wait: Wait = 30.0,
) -> None:
    """Add and update what FILE.csv says, all or nothing. Whom it does not name stays."""
    try:
        with file.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except OSError as error:
        complain(f"{file} cannot be read: {error.strerror or error}")
        raise typer.Exit(EXIT_FAILED) from None
    if len(data) > BYTES_MAX:
        complain(f"{file} is larger than {BYTES_MAX // 2**20} MB")
        raise typer.Exit(EXIT_REFUSED)
    try:
        rows = roster_file.parse(data, encoding)
    except RosterFileError as error:
        for problem in error.problems:
            complain(f"{file}: {problem}")
        complain("Nothing was imported.")
        raise typer.Exit(EXIT_REFUSED) from None

    async def store(database: Database) -> None:
        await roster.store(database, rows)
        courses = {row.course_id for row in rows}
        teams = {(row.course_id, row.team_id) for row in rows if row.team_id}
        students = {row.student_id for row in rows}
        tell(f"imported {len(students):,} students, {len(teams):,} teams, {len(courses):,} courses")

    run(store, postgres, wait)


@app.command()
def show(postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Every course, with how many teams and students it has."""

    async def tabulate(database: Database) -> None:
        held = await roster.read(database)
        teams = Counter(course for course, _ in held.teams)
        students = Counter(course for course, _ in held.enrolments)
        table = Table("course", "name", "teams", "students", box=None)
        for course, name in sorted(held.courses.items()):
            table.add_row(course, name, str(teams[course]), str(students[course]))
        Console().print(table, markup=False)
        tell(f"{len(held.students):,} students in all")

    run(tabulate, postgres, wait)
