"""What tables on a terminal are made of. Nothing of it takes long to import."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from gateway.lag.states import State

_STYLES = {State.IDLE: "dim", State.OK: "green", State.CATCHING_UP: "cyan", State.UNKNOWN: "yellow"}


def plain(text: str) -> str:
    """What a terminal would obey is shown instead."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def table(*names: str, words: Sequence[str]) -> Table:
    """`words`: the columns that are no numbers."""
    rows = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        rows.add_column(name, justify="left" if name in words else "right", no_wrap=True)
    return rows


def groups(told: Sequence[Mapping[str, Any]]) -> Table:
    """Consumer groups, as `GET /api/v1/admin/consumers` has them."""
    rows = table(
        "group", "verdict", "since", "lag", "oldest", "in/s", "out/s", "lost", "sure",
        words=("group", "verdict", "since"),
    )  # fmt: skip
    for one in told:
        rows.add_row(
            plain(one["group"]), verdict(State(one["verdict"])), clock(one["since"]), f"{one['lag']:,}",
            seconds(one["lag_s"]), f"{one['rate_in']:,.1f}", f"{one['rate_out']:,.1f}", f"{one['lost']:,}",
            f"{one['confidence']:.0%}",
        )  # fmt: skip
    return rows


def why(what: str, state: State, says: str) -> Text:
    return Text(f"{plain(what)}: ").append_text(verdict(state)).append(f": {plain(says)}")


def verdict(state: State) -> Text:
    return Text(state.words, _STYLES.get(state, "red"))


def seconds(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f} s"


def clock(stamp: str | None) -> str:
    """Of a time as JSON has it, as clocks here show it."""
    return "" if stamp is None else f"{datetime.fromisoformat(stamp).astimezone():%H:%M:%S}"
