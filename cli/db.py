"""`classpulse db migrate|current`: the tables of PostgreSQL. And how the other commands reach it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.text import Text

from gateway import schema
from gateway.database import SCHEMA, Database, DatabaseAwayError, connected
from gateway.schema import SchemaError

EXIT_REFUSED = 1  # PostgreSQL answers, but it cannot be done
EXIT_FAILED = 2  # PostgreSQL is away, or what was given cannot be used

app = typer.Typer(
    help="The PostgreSQL schema.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _postgresql(url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("postgresql", "postgres") and (parts.port or True)
    except ValueError:  # a port that is no number
        fits = False
    if not fits:
        # The value is not shown: a slip of the pen does not make a password fit for logs.
        raise typer.BadParameter("expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url


Postgres = Annotated[
    str,
    typer.Option("--postgres", envvar="CLASSPULSE_POSTGRES_URL", callback=_postgresql, help="Its URL."),
]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a PostgreSQL that is not there yet.")]

POSTGRES = "postgresql://127.0.0.1:5432/classpulse"


@app.command()
def migrate(postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Bring the tables to the newest version. A second run finds nothing to do."""

    async def mend(_: Database) -> None:
        was = await schema.migrate(postgres)
        tell(f"schema {SCHEMA}" + ("" if was == SCHEMA else f" (was {was or 'empty'})"))

    run(mend, postgres, wait)


@app.command()
def current(postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Print the version the tables are at; exit with 1 where it is not the newest."""

    async def compare(_: Database) -> None:
        at = await schema.current(postgres)
        tell(at or "empty")
        if at != SCHEMA:
            raise RefusedError(f"the newest is {SCHEMA}: `classpulse db migrate` goes there")

    run(compare, postgres, wait)


class RefusedError(Exception):
    """The command cannot do what it was told; the message says why."""


def run(work: Callable[[Database], Awaitable[None]], postgres: str, wait_s: float) -> None:
    """Does `work` with a database that answers. Ends the command with one clear line where that fails."""

    async def connected_work() -> None:
        async with connected(postgres, wait_s) as database:
            await work(database)

    try:
        asyncio.run(connected_work())
    except (RefusedError, SchemaError) as error:
        complain(str(error))
        raise typer.Exit(EXIT_REFUSED) from None
    except DatabaseAwayError as error:
        complain(str(error))
        raise typer.Exit(EXIT_FAILED) from None


def tell(message: str) -> None:
    Console().print(Text(message), soft_wrap=True)


def complain(message: str) -> None:
    Console(stderr=True).print(Text(message, style="red"), soft_wrap=True)
