"""`classpulse trace EVENT_ID`: what became of one event."""

import time
from typing import Annotated

import typer
from rich.console import Console

from cli.questions import EXIT_FAILED, Timeout, ask, complain, moment, ms
from cli.topics import KAFKA, Kafka
from cli.traces import told
from gateway.admin.trace_views import trace_view
from gateway.admin.tracing import Question
from gateway.admin.tracing import trace as traced

console = Console()


def _text(value: str | None) -> str | None:
    if value == "":
        raise typer.BadParameter("is empty")
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("is not UTF-8") from None
    return value


def trace(
    event_id: Annotated[str, typer.Argument(help="As it was sent, or as the door's answer has it.", callback=_text)],
    student: Annotated[
        str | None, typer.Option(help="Whose it is: only his partition is read, which is quick.", callback=_text)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Accepted since: a time (UTC), or 90m, 2h, 3d ago.", callback=moment)
    ] = "2h",
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    kafka: Kafka = KAFKA,
    timeout: Timeout = 30.0,
) -> None:
    """What became of one event: where it lies, who acknowledged it, whether it was counted, and in which windows."""
    question = Question(event_id, ms(since) or 0, int(time.time() * 1000), student)
    view = trace_view(ask("records", lambda progress: traced(kafka, question, timeout, progress)))
    if json:
        typer.echo(view.model_dump_json(indent=2))
    else:
        for line in told(view):
            console.print(line, soft_wrap=True)
    if not view.complete:
        complain(
            f"time was up before all was read ({view.searched.read:,} of {view.searched.total:,} records): --student "
            "searches one partition, a later --since asks for less, --timeout waits"
        )
        raise typer.Exit(EXIT_FAILED)
