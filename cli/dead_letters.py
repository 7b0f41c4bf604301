"""`classpulse dead-letters list|show|replay|drop`: what could not be used, and what to do with it."""

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from cli.db import POSTGRES, Postgres
from cli.letters import decided, table, told
from cli.questions import EXIT_FAILED, Timeout, ask, author, complain, me, moment, ms
from cli.topics import KAFKA, Kafka
from gateway.admin import handling
from gateway.admin.handling import LIMIT_MAX, Report
from gateway.admin.letters import Filter, Letters
from gateway.admin.views import view, whole
from gateway.database import DatabaseAwayError, connected
from gateway.security import audit_log
from wire import topics
from wire.dead_letters import Action, LetterId, Reason

POSTGRES_S = 10.0  # how long it is waited for
EXIT_REFUSED = 1  # some of it was not done, or would not be

T = TypeVar("T")

app = typer.Typer(
    help="What could not be used: look at it, replay it, drop it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()


class Home(StrEnum):
    DEAD_LETTERS = topics.DEAD_LETTERS
    PARKED = topics.PARKED


def _id(text: str) -> LetterId:
    try:
        return LetterId.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Topic = Annotated[Home, typer.Option(help="Where they lie.")]
OfReason = Annotated[Reason | None, typer.Option(help="Only with this reason.")]
Origin = Annotated[str | None, typer.Option("--source", help="Only of this topic: where the record comes from.")]
Since = Annotated[str | None, typer.Option(help="Written since: a time (UTC), or 90m, 2h, 3d ago.", callback=moment)]
Until = Annotated[str | None, typer.Option(help="Written before; as --since.", callback=moment)]
Ids = Annotated[list[LetterId] | None, typer.Argument(help="Letters, as `list` calls them.", parser=_id, metavar="ID…")]
Everything = Annotated[bool, typer.Option("--all", help="All letters of the topic, where nothing else is said.")]
Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="At most so many, the oldest.")]
Why = Annotated[str, typer.Option(help="Why; kept with the letter and in the audit log. Needed with --yes.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, it is only said what would be done.")]


@app.command("list")
def list_(
    topic: Topic = Home.DEAD_LETTERS,
    reason: OfReason = None,
    source: Origin = None,
    since: Since = None,
    until: Until = None,
    handled: Annotated[bool, typer.Option("--handled", help="Those too that were replayed or dropped.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a letter, for programs.")] = False,
    kafka: Kafka = KAFKA,
    timeout: Timeout = 30.0,
) -> None:
    """Letters that nobody has handled yet, newest first."""
    wanted = Filter(topic.value, reason, source, ms(since), ms(until), handled)
    found = _run(lambda letters: letters.find(wanted, limit, newest=True), kafka, timeout)
    for letter in found.letters if json else ():
        typer.echo(view(letter).model_dump_json())
    if not json:
        console.print(table(found.letters), markup=False, soft_wrap=True)
        console.print(f"{len(found.letters)} shown" + (f", {found.more:,} more" if found.more else ""), highlight=False)
    if not found.complete:
        complain(
            f"read {found.read:,} of {found.total:,} letters in {timeout:g} s: --since asks for less, --timeout waits"
        )
        raise typer.Exit(EXIT_FAILED)


@app.command()
def show(
    letter_id: Annotated[LetterId, typer.Argument(parser=_id, metavar="ID")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the record's bytes, as they are.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON, bytes in base64.")] = False,
    kafka: Kafka = KAFKA,
    timeout: Timeout = 30.0,
) -> None:
    """One letter: its bytes as text or in hexadecimal, why it was not used, and where it comes from."""
    (letter,) = _run(lambda letters: letters.get([letter_id]), kafka, timeout)
    if raw:
        sys.stdout.buffer.write(letter.content.value or b"")
    elif json:
        typer.echo(whole(letter).model_dump_json(indent=2))
    else:
        for line in told(letter):
            console.print(line, soft_wrap=True)


@app.command()
def replay(
    ids: Ids = None,
    topic: Topic = Home.DEAD_LETTERS,
    reason: OfReason = None,
    source: Origin = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    limit: Limit = LIMIT_MAX,
    force: Annotated[
        bool, typer.Option("--force", help="What would come back too, and what was handled before.")
    ] = False,
    why: Why = "",
    yes: Yes = False,
    clock_skew: Annotated[
        int, typer.Option(envvar="CLASSPULSE_CLOCK_SKEW_S", min=0, help="How far ahead an event may lie, in seconds.")
    ] = 300,
    kafka: Kafka = KAFKA,
    postgres: Postgres = POSTGRES,
    timeout: Timeout = 30.0,
) -> None:
    """Send records to their topics again, with the same key and bytes: an event keeps its id, and counts once."""
    wanted = _wanted(ids, topic, reason, source, since, until, everything)
    _handle(Action.REPLAYED, wanted, limit, why, yes, kafka, timeout, postgres, force=force, skew_s=clock_skew)


@app.command()
def drop(
    ids: Ids = None,
    topic: Topic = Home.DEAD_LETTERS,
    reason: OfReason = None,
    source: Origin = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    limit: Limit = LIMIT_MAX,
    why: Why = "",
    yes: Yes = False,
    kafka: Kafka = KAFKA,
    postgres: Postgres = POSTGRES,
    timeout: Timeout = 30.0,
) -> None:
    """Mark letters as handled, with nothing done. Kafka keeps them until their time is over."""
    wanted = _wanted(ids, topic, reason, source, since, until, everything)
    _handle(Action.DROPPED, wanted, limit, why, yes, kafka, timeout, postgres)


def _wanted(
    ids: list[LetterId] | None,
    topic: Home,
    reason: Reason | None,
    source: str | None,
    since: str | None,
    until: str | None,
    everything: bool,
) -> Filter | list[LetterId]:
    narrowed = any(given is not None for given in (reason, source, since, until))
    if ids and (narrowed or everything):
        raise typer.BadParameter("name letters or say which kind, not both")
    if not (ids or narrowed or everything):
        raise typer.BadParameter(
            "which letters? Name them, or narrow them by --reason, --source, --since, or say --all"
        )
    return ids or Filter(topic.value, reason, source, ms(since), ms(until))


def _handle(
    action: Action,
    wanted: Filter | Sequence[LetterId],
    limit: int,
    why: str,
    yes: bool,
    kafka: str,
    timeout_s: float,
    postgres: str,
    *,
    force: bool = False,
    skew_s: int = 0,
) -> None:
    if yes and not why.strip():
        raise typer.BadParameter("--yes needs --why TEXT: it is kept with the letters, and in the audit log")
    why = why.strip()

    async def work(letters: Letters) -> Report:
        chosen, more = await handling.choose(letters, wanted, limit)
        now_ms = int(time.time() * 1000)
        verdicts = await handling.judge(letters, chosen, action, force=force, now_ms=now_ms, skew_ms=skew_s * 1000)
        if yes and any(not verdict.objection for verdict in verdicts):
            begun = handling.begun(author(), action, verdicts, why)
            async with connected(postgres, POSTGRES_S) as database:
                await audit_log.write(database, begun)  # else nothing is done
                verdicts = await handling.carry_out(letters, action, verdicts, by=me(), why=why)
                await audit_log.write(database, handling.ended(begun, verdicts))
        return Report(action, yes, verdicts, more)

    report = _run(work, kafka, timeout_s)
    for line in decided(report):
        console.print(line, soft_wrap=True)
    if report.good and not report.done:
        console.print("Nothing was done: --yes --why TEXT does it.")
    if len(report.good) < len(report.verdicts):
        raise typer.Exit(EXIT_REFUSED)


def _run(work: Callable[[Letters], Awaitable[T]], kafka: str, timeout_s: float) -> T:
    try:
        return ask("letters", lambda progress: work(Letters(kafka, timeout_s, progress)))
    except DatabaseAwayError as error:
        complain(f"the audit log, in which it is to be: {error}")
        raise typer.Exit(EXIT_FAILED) from None
