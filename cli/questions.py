"""How a command asks Kafka something: within a time limit, with a progress bar, and what is said when it fails."""

import asyncio
import getpass
import logging
import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from cli.cells import plain
from gateway.admin.reading import KafkaAwayError, NotAllReadError, NotThereError, Progress

EXIT_NOT_THERE = 1
EXIT_FAILED = 3  # Kafka is away, or not all could be read in time; 2 is a wrong option
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

T = TypeVar("T")

errors = Console(stderr=True)

Timeout = Annotated[float, typer.Option(min=1, help="Seconds that reading may take.")]


def moment(text: str | None) -> datetime | None:
    """An option's callback."""
    if text is None:
        return None
    try:
        if match := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):  # 999999d ago there was no calendar
        raise typer.BadParameter(f"expected 2026-01-15T09:30:00Z, or 90m for 90 minutes ago, got {text!r}") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def ms(at: str | datetime | None) -> int | None:
    """Of what `moment` has made of an option."""
    return round(at.timestamp() * 1000) if isinstance(at, datetime) else None


def me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container nobody may have a name
        return f"uid {os.getuid()}"


def author() -> str:
    """Whose doing it is, in what is recorded."""
    return f"cli:{me()}"


def ask(what: str, question: Callable[[Progress], Awaitable[T]]) -> T:
    """The answer, with a bar on standard error of how many of `what` have been read. Exits where there is none."""
    # aiokafka logs every refused connection as an error; the verdict tells the reason.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    bar = Bar(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    try:
        with bar:
            task = bar.add_task("", total=None)

            async def answered() -> T:
                return await question(lambda done, total: bar.update(task, completed=done, total=total))

            return asyncio.run(answered())
    except NotThereError as error:
        complain(str(error))
        raise typer.Exit(EXIT_NOT_THERE) from None
    except (KafkaAwayError, NotAllReadError) as error:
        complain(str(error))
        raise typer.Exit(EXIT_FAILED) from None


def complain(message: str) -> None:
    errors.print(Text(plain(message), style="red"), soft_wrap=True)
