"""How far the stack is, on a terminal as a live table, elsewhere as one line a change."""

import contextlib
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from stack.state import Run, Service

_SIGNS = {  # of the states in which nothing moves
    "waiting": ("·", "dim"),
    "ready": ("✓", "green"),
    "done": ("✓", "green"),
    "stopped": ("·", "dim"),
    "failed": ("✗", "bold red"),
}
_ABOUT = {
    "topics": "topics as topics.yaml says",
    "migrate": "tables of PostgreSQL",
    "key": "API key of the demo",
    "school": "a demo school of 153 students",
    "roster": "its roster",
    "demo": "demo classroom",
}


class Display:
    """Use as a context manager; `show` as often as you like."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None  # while something is under way
        self._spinner = Spinner("dots")
        self._told: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def show(self, run: Run) -> None:
        if not self._console.is_terminal:
            for service in run.services:
                self._tell(service)
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=10)
            self._live.start()
        self._live.update(self._table(run))
        if run.state not in ("starting", "stopping"):
            self._end()

    def _end(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            with contextlib.suppress(OSError):  # the terminal was closed
                live.stop()

    def _table(self, run: Run) -> Table:
        table = Table.grid(padding=(0, 2))
        for width in (1, 9, 6, 0):
            table.add_column(min_width=width)
        for service in run.services:
            busy = service.state not in _SIGNS
            sign = self._spinner if busy else Text(*_SIGNS[service.state])
            table.add_row(sign, service.name, _how(service), _what(service))
        return table

    def _tell(self, service: Service) -> None:
        line = f"{service.state:<10} {service.name:<9} {_plain(service)}".rstrip()
        key = f"{service.state} {service.detail}"
        if service.state != "waiting" and self._told.get(service.name) != key:
            self._told[service.name] = key
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _how(service: Service) -> ProgressBar | Text:
    if service.want:
        return ProgressBar(service.want, service.have, width=24)
    return Text("" if service.took_s is None else f"{service.took_s:.1f} s", style="dim", justify="right")


def _what(service: Service) -> Text:
    if service.want:
        return Text(f"{service.detail}: {decimal(service.have)} of {decimal(service.want)}")
    return Text(service.detail or service.address or _ABOUT.get(service.name, ""), style="dim", overflow="ellipsis")


def _plain(service: Service) -> str:
    if service.want:
        return f"{service.detail}, {decimal(service.want)}"
    took = "" if service.took_s is None or service.state not in ("ready", "done") else f"  ({service.took_s:.1f} s)"
    return f"{service.detail or service.address or _ABOUT.get(service.name, '')}{took}"
