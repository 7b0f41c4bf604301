"""`classpulse audit balance|verify`: whether everything accepted is accounted for, and the audit log is whole."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.db import POSTGRES, Postgres, RefusedError, Wait, run, tell
from cli.letters import stamp
from cli.questions import EXIT_FAILED, Timeout, ask, complain, moment, ms
from cli.topics import KAFKA, Kafka
from gateway.admin.audit import find
from gateway.admin.audit_views import AuditView, Sums, audit_view
from gateway.database import Database
from gateway.security import audit_log
from gateway.security.audit_log import Head

EXIT_WRONG = 1

app = typer.Typer(
    help="Whether everything accepted is accounted for, and the audit log is whole.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(width=200)  # whatever the terminal has: a number cut off would be another number


@app.command()
def balance(
    since: Annotated[
        str | None, typer.Option(help="Accepted since: a time (UTC), or 90m, 2h, 3d ago.", callback=moment)
    ] = "1h",
    minutes: Annotated[bool, typer.Option("--minutes", help="Each minute of each partition too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs: all, with the minutes.")] = False,
    kafka: Kafka = KAFKA,
    timeout: Timeout = 30.0,
) -> None:
    """What doors have accepted and what became of it, per partition, and what does not add up."""
    since_ms = ms(since) or 0
    view = audit_view(ask("balances", lambda progress: find(kafka, since_ms, timeout, progress)))
    if json:
        typer.echo(view.model_dump_json(indent=2))
    else:
        _show(view, minutes)
    if not view.complete:
        complain("; ".join(view.gaps) + ": a later --since asks for less, --timeout waits")
        raise typer.Exit(EXIT_FAILED)
    if not view.adds_up:
        raise typer.Exit(EXIT_WRONG)


def _head(text: str | None) -> Head | None:
    try:
        return None if text is None else Head.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="A head that was kept elsewhere: the log must still hold it.")
    ] = None,
    postgres: Postgres = POSTGRES,
    wait: Wait = 30.0,
) -> None:
    """Whether a row of the audit log was changed or is missing. Prints its head, to be kept elsewhere: with it a
    cut tail is found too."""
    kept = _head(head)

    async def look(database: Database) -> None:
        verdict = await audit_log.verify(database, kept)
        tell(f"{verdict.rows:,} rows; head {verdict.head}")
        if verdict.wrong:
            raise RefusedError("\n".join(verdict.wrong))

    run(look, postgres, wait)


def _show(view: AuditView, minutes: bool) -> None:
    if minutes:
        rows = _table("minute", "partition", "offsets", *_SUMS)
        for one in view.minutes:
            at = f"{one.minute:%Y-%m-%d %H:%M}"
            rows.add_row(at, str(one.partition), f"{one.first}-{one.last}", *_cells(one, _SUMS))
        _print(rows)
        _print(f"{view.more_minutes:,} minutes more before these\n" if view.more_minutes else "")
    rows = _table("partition", *_WITH_IN_FLIGHT)
    for each in view.partitions:
        rows.add_row(str(each.partition), *_cells(each, _WITH_IN_FLIGHT))
    rows.add_row("all", *_cells(view.totals, _WITH_IN_FLIGHT), style="bold")
    _print(rows)
    for wrong in view.wrong:
        at = f"{wrong.minute:%Y-%m-%d %H:%M}  " if wrong.minute else ""
        _print(Text(f"{at}{wrong.stage}  {wrong.says}", "red"))
    if view.more_wrong:
        _print(Text(f"{view.more_wrong:,} more", "red"))
    verdict = Text("It adds up", "green") if view.adds_up else Text("It does not add up", "bold red")
    _print(verdict.append(f" since {stamp(view.since)}."))


_SUMS = tuple(Sums.model_fields)
_WITH_IN_FLIGHT = (*_SUMS[:2], "in_flight", *_SUMS[2:])


def _table(*names: str) -> Table:
    rows = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))  # 80 columns, with small numbers
    for name in names:
        rows.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    return rows


def _cells(sums: Sums, names: Iterable[str]) -> list[str]:
    return [f"{getattr(sums, name):,}" for name in names]


def _print(what: Table | Text | str) -> None:
    console.print(what, soft_wrap=True, highlight=False)
