"""`classpulse rebuild`: windows computed anew from the retained topic, held against what is served."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.questions import me, moment, ms
from cli.topics import KAFKA, Kafka
from wire import rebuild as wire
from wire.metrics import ScopeText
from wire.rebuild import Order
from wire.scopes import Scope

PROCESS = "pipelines.rebuild.app"


def scope_text(text: str) -> str:
    try:
        return msgspec.convert(str(Scope.parse(text)), ScopeText)
    except msgspec.ValidationError:
        raise typer.BadParameter(
            f"{text!r} is no scope: it holds a control character, or ends with a backslash"
        ) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def rebuild(
    from_: Annotated[
        str,
        typer.Option(
            "--from", callback=moment, metavar="DATE", help="Windows that begin then or later (UTC; or 2h ago)."
        ),
    ],
    to: Annotated[
        str | None, typer.Option(callback=moment, metavar="DATE", help="And that end by then; as --from.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(parser=scope_text, metavar="SCOPE", help="Only of this one, like course:py101; or more."),
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="So many differences one by one.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON, for programs.")] = False,
    shadow: Annotated[Path | None, typer.Option(help="Keep what was computed in this file of SQLite.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write to the store what differs or is missing.")] = False,
    why: Annotated[str, typer.Option(help="Why; it is logged. Needed with --replace.")] = "",
    kafka: Kafka = KAFKA,
) -> None:
    """Compute windows anew from the retained topic, and show how they differ from what is served. Without --replace
    nothing is written."""
    given = order(
        ms(from_) or 0, ms(to), scope or [], int(time.time() * 1000), show=show, json=json, shadow=shadow,
        why=why.strip(), replace=replace,
    )  # fmt: skip
    sys.stdout.flush()
    arguments = [sys.executable, "-m", PROCESS, wire.encode(given).decode()]
    # Not a child: so Ctrl-C and the exit code are the process's own.
    os.execve(sys.executable, arguments, {**os.environ, "CLASSPULSE_KAFKA": kafka})  # noqa: S606 -- no shell is wanted


def order(
    from_ms: int,
    to_ms: int | None,
    scopes: list[str],
    now_ms: int,
    *,
    show: int,
    json: bool,
    shadow: Path | None,
    why: str,
    replace: bool,
) -> Order:
    """Raises typer.BadParameter."""
    if from_ms < 0:
        raise typer.BadParameter("--from lies before 1970")
    for name, at_ms in (("--from", from_ms), ("--to", to_ms or 0)):
        if at_ms > now_ms:
            raise typer.BadParameter(f"{name} lies in the future")
    if to_ms is not None and to_ms <= from_ms:
        raise typer.BadParameter("--to does not lie behind --from")
    if replace and not why:
        raise typer.BadParameter("--replace needs --why TEXT: it is logged")
    if why and not replace:
        raise typer.BadParameter("--why goes with --replace: without, nothing is written")
    if shadow is not None and (shadow.exists() or not shadow.absolute().parent.is_dir()):
        raise typer.BadParameter(f"--shadow {shadow}: " + ("is there already" if shadow.exists() else "has no folder"))
    return Order(
        from_ms=from_ms, to_ms=to_ms, scopes=scopes, show=show, json=json, why=why, by=me(),
        shadow="" if shadow is None else str(shadow),
    )  # fmt: skip
