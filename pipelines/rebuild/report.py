"""What a rebuild has found, for people and for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pipelines.history.store import Served
from pipelines.rebuild.difference import AS_SEEN, DIFFERENT, Pair, Rebuilt, Verdict
from pipelines.rebuild.recount import Verdicts
from pipelines.rebuild.shadow import Line, Tally
from wire.metrics import WINDOW_S, Metric


@dataclass
class Findings:
    store: str
    from_ms: int  # as wanted
    whole_from_ms: int  # of what begins before, records are missing; 0: of nothing
    records: int  # read
    verdicts: Verdicts
    tally: Tally
    table: Sequence[Line]  # those with most
    differences: Sequence[Pair]  # the first ones
    unread: Mapping[str, int]  # by the workers: group → records

    def number(self, verdict: Verdict) -> int:
        return self.tally.windows[verdict]

    @property
    def different(self) -> int:
        return self.tally.different

    @property
    def compared(self) -> int:
        return self.number(Verdict.SAME) + self.different

    @property
    def incomplete(self) -> str:
        """Why not all could be compared; "": it was."""
        if not self.records:
            return "no record of activity lies there: nothing can be computed"
        if self.whole_from_ms > self.from_ms:
            return (
                f"of windows that begin before {_utc(self.whole_from_ms)} records of activity are deleted: not compared"
            )
        return ""


def told(found: Findings) -> Iterator[RenderableType]:
    of = found.verdicts
    yield Text(
        f"{found.records:,} records of activity: {of.folded:,} folded, {of.duplicate:,} duplicate, {of.late:,} late,"
        f" {of.dead:,} dead letters"
    )
    yield Text(f"{found.compared:,} points of {found.tally.scopes:,} scopes compared with {found.store}")
    if left := found.number(Verdict.OPEN):
        yield Text(f"{left:,} more are still open", style="dim")
    if left := found.number(Verdict.CHANGING):
        yield Text(f"{left:,} more differ by events that came meanwhile, perhaps: look again", style="yellow")
    if found.incomplete:
        yield Text(found.incomplete, style="yellow")
    yield Text(
        f"not compared: {', '.join(sorted(AS_SEEN))}, which say how things stood when they were told", style="dim"
    )
    numbers = [f"{found.number(verdict):,} {name}" for verdict, name in _NAMES.items() if found.number(verdict)]
    if not numbers:
        yield Text("Nothing differs." if found.compared else "Nothing was compared.", style="bold")
        return
    yield Text(", ".join(numbers), style="bold")
    yield _table(found.table)
    yield _differences(found.differences)
    if (more := found.different - len(found.differences)) > 0:
        yield Text(f"and {more:,} more: --show N shows N, --shadow FILE keeps all")
    if behind := ", ".join(f"{group} {records:,}" for group, records in found.unread.items() if records):
        yield Text(f"Records that the workers have still to read: {behind}. They may tell of it yet.", style="yellow")


_NAMES = {Verdict.DIFFERS: "different", Verdict.MISSING: "missing in the store", Verdict.EXTRA: "extra in the store"}


def _table(lines: Sequence[Line]) -> Table:
    table = Table("scope", "metric", "different", "missing", "extra", box=None, header_style="dim")
    for column in table.columns[2:]:
        column.justify = "right"
    for line in lines:
        table.add_row(_plain(line.scope), line.metric, *(f"{number:,}" if number else "" for number in line[2:]))
    return table


def _differences(pairs: Sequence[Pair]) -> Table:
    table = Table("", "scope", "metric", "begins", "served", "rebuilt", box=None, header_style="dim")
    for pair in pairs:
        scope, metric, label, start_ms = pair.key
        name = _plain(f"{metric}:{label}" if label else metric)
        said = _value(pair.served), _value(pair.rebuilt)
        table.add_row(pair.verdict.value, _plain(scope), name, _utc(start_ms), *said)
    return table


def _value(of: Served | Rebuilt | None) -> str:
    return "-" if of is None else f"{of.value:.15g} (n {of.n})"


def written(found: Findings) -> bytes:
    """As JSON."""
    of = found.verdicts
    return msgspec.json.encode(
        {
            "store": found.store,
            "records": found.records,
            "folded": of.folded,
            "duplicate": of.duplicate,
            "late": of.late,
            "dead": of.dead,
            "compared": found.compared,
            "scopes": found.tally.scopes,
            "open": found.number(Verdict.OPEN),
            "changing": found.number(Verdict.CHANGING),
            "not_compared": sorted(AS_SEEN),
            "incomplete": found.incomplete,
            "unread": found.unread,
            **{verdict.value: found.number(verdict) for verdict in DIFFERENT},
            "table": [line._asdict() for line in found.table],
            "differences": [
                {
                    "verdict": pair.verdict,
                    "scope": pair.key[0],
                    "metric": pair.key[1],
                    "label": pair.key[2],
                    "start": _moment(pair.key[3]),
                    "end": _moment(pair.key[3] + WINDOW_S[Metric(pair.key[1])] * 1000),
                    "served": pair.served and {"value": pair.served.value, "n": pair.served.n},
                    "rebuilt": pair.rebuilt and {"value": pair.rebuilt.value, "n": pair.rebuilt.n},
                }
                for pair in found.differences
            ],
        }
    )


def _moment(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def _utc(epoch_ms: int) -> str:
    return f"{_moment(epoch_ms):%Y-%m-%d %H:%M:%SZ}"


def _plain(text: str) -> Text:
    """What a terminal would obey is shown instead."""
    return Text("".join(char if char.isprintable() else repr(char)[1:-1] for char in text))
