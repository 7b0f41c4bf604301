"""What the gateway tells the one on call, on a terminal. Pure."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.cells import clock, groups, plain, table
from cli.desk import Told

_STYLES = {"ok": "green", "pass": "green", "unknown": "yellow", "degraded": "yellow", "warn": "yellow"}


def shown(told: Told) -> Iterator[RenderableType]:
    """From the verdict down."""
    if not told.health:
        yield Text("the gateway does not answer", "red")
        return
    if told.system:
        yield from _system(told.system)
    else:
        yield _health(told.health)
        yield Text(f"no verdict, groups and objectives: {plain(told.refusal)}", "yellow")
    works = told.system.get("works") or told.health.get("works", [])
    yield from (Text(f"  not now: {one['what']}; {one['meanwhile']}") for one in works if not one["works"])
    yield Text(probe(told.health))
    if told.system:
        yield _audit(told.system["audit"])
    if told.consumers:
        yield Text("")
        yield groups(told.consumers["groups"])
    if told.system:
        if objectives := told.system.get("objectives"):  # a gateway that was not restarted yet has none
            yield Text("")
            yield _objectives(objectives)
        if told.system["changes"]:
            yield Text("")
            yield _changes(told.system["changes"])
    yield Text("")


def _system(said: dict[str, Any]) -> Iterator[RenderableType]:
    yield Text.assemble(_verdict(said["verdict"]), f" since {clock(said['since'])}: {plain(said['says'])}")
    if said["reasons"]:
        rows = table("reason", "since", "", "runbook", words=("reason", "since", "", "runbook"))
        rows.columns[2].no_wrap = False
        for one in said["reasons"]:
            rows.add_row(_verdict(one["verdict"]), clock(one["since"]), plain(one["says"]), plain(one["runbook"]))
        yield rows


def _health(said: dict[str, Any]) -> Text:
    reasons = plain("; ".join(said.get("reasons", [])))
    return Text.assemble("health: ", _verdict(said.get("status", "unknown")), reasons and f": {reasons}")


def probe(health: dict[str, Any]) -> str:
    """The way of an event from the door to a viewer."""
    checks = health.get("checks", {})
    if "probe:age" not in checks:
        return "probe: none is sent"
    age, latency = checks["probe:age"][0], checks.get("probe:latency")
    took = f", after {latency[0]['observedValue']:,.0f} ms" if latency else ""
    back = f"the newest that has come back{took}, was sent" if latency else "none has come back; the first was sent"
    return f"probe: {back} {age['observedValue']:.0f} s ago"


def _audit(said: dict[str, Any]) -> Text:
    if said["adds_up"] and not said["says"]:
        return Text(f"audit: the last hour adds up, as of {clock(said['at'])}")
    return Text(f"audit: {plain(said['says'])}", "red" if said["adds_up"] is False else "")


def _objectives(told: list[dict[str, Any]]) -> Table:
    rows = table(
        "objective",
        "promised",
        "kept, 30 d",
        "budget left",
        "burns 1 h",
        "6 h",
        "bad",
        "of",
        "",
        words=("objective", ""),
    )
    for one in told:
        rows.add_row(
            plain(one["objective"]), f"{100 * one['target']:g}%", _percent(one["share"], ".6g"),
            _percent(one["budget_left"], ".1f"), _number(one["burn_1h"], ".1f"), _number(one["burn_6h"], ".1f"),
            f"{one['bad']:,}", f"{one['total']:,}",
            Text(f"too fast: {plain(one['runbook'])}", "red") if one["burning"] else "",
        )  # fmt: skip
    return rows


def _changes(told: list[dict[str, Any]]) -> Table:
    rows = table("changed", "what", "from", "to", "", words=("changed", "what", "from", "to", ""))
    rows.columns[4].no_wrap = False
    for one in told:
        what = plain(one["about"])
        rows.add_row(clock(one["at"]), what, _verdict(one["before"]), _verdict(one["verdict"]), plain(one["says"]))
    return rows


def _verdict(word: str) -> Text:
    return Text(plain(word), _STYLES.get(word, "red"))


def _percent(share: float | None, spec: str) -> str:
    return "" if share is None else f"{100 * share:{spec}}%"


def _number(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)
