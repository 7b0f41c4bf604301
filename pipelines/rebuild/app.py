"""A rebuild, put together: `python -m pipelines.rebuild.app ORDER`, which `classpulse rebuild` runs."""

import asyncio
import logging.config
import sqlite3
import sys
from typing import NoReturn

import msgspec
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from logs import lines
from pipelines.history.choice import choose
from pipelines.history.store import StoreRefusedError, StoreUnavailableError
from pipelines.rebuild import report
from pipelines.rebuild.activity import NotReadError
from pipelines.rebuild.report import Findings
from pipelines.rebuild.work import Rebuild
from pipelines.settings import AggregateSettings, HistorySettings
from wire import rebuild

EXIT_DIFFERS = 1
EXIT_UNFIT = 2  # a setting
EXIT_FAILED = 3  # a server is away, or not all could be read
EXIT_INTERRUPTED = 130
# aiokafka logs every refused connection as an error; the verdict tells the reason.
QUIETER = {"aiokafka": "CRITICAL"}

errors = Console(stderr=True)


def main() -> NoReturn:
    order = rebuild.decode(sys.argv[1])
    try:
        aggregate, history = AggregateSettings(), HistorySettings()
    except ValidationError as error:
        _complain(str(error))
        raise SystemExit(EXIT_UNFIT) from None
    logging.config.dictConfig(lines.config(aggregate.log_format, aggregate.log_level, QUIETER))
    store = choose(history)
    work = Rebuild(order, aggregate, store, _new_bar)

    def show(found: Findings) -> None:
        if order.json:
            _print_json(report.written(found))
            return
        for part in report.told(found):
            Console().print(part, soft_wrap=True)
        if not order.why and found.different:
            Console().print("Nothing was written: --replace --why TEXT does it.")

    async def run() -> Findings:
        try:
            return await work.run(show)
        finally:
            await store.close()

    try:
        found = asyncio.run(run())
    except KeyboardInterrupt:
        _complain(f"interrupted; {work.written:,} points replaced")
        raise SystemExit(EXIT_INTERRUPTED) from None
    except (StoreUnavailableError, StoreRefusedError) as error:
        _complain(f"{store.name}: {error}; {work.written:,} points replaced")
        raise SystemExit(EXIT_FAILED) from None
    except NotReadError as error:
        _complain(str(error))
        raise SystemExit(EXIT_FAILED) from None
    except sqlite3.Error as error:
        _complain(f"what was computed cannot be kept: {error}")
        raise SystemExit(EXIT_FAILED) from None
    left = found.different - work.written
    if order.why and order.json:
        _print_json(msgspec.json.encode({"replaced": work.written, "left": left}))
    elif order.why:
        Console().print(f"{work.written:,} points replaced", highlight=False)
        if left:
            Console().print(f"{left:,} extra ones stay: no value of theirs would say that nothing happened")
    raise SystemExit(EXIT_DIFFERS if left else EXIT_FAILED if found.incomplete else 0)


def _new_bar() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)


def _print_json(data: bytes) -> None:
    sys.stdout.write(f"{data.decode()}\n")


def _complain(message: str) -> None:
    errors.print(Text(message, style="red"), soft_wrap=True)


if __name__ == "__main__":
    main()
