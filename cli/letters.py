"""Letters on a terminal, which gets nothing of theirs that it would obey."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from cli.cells import plain
from gateway.admin.handling import Report
from gateway.admin.letters import Letter
from gateway.admin.views import utc, view

HEX_MAX = 4_096  # bytes shown of a value that is no text
DETAIL_MAX = 80


def table(found: Sequence[Letter]) -> Table:
    """Two lines a letter, so that 80 columns are enough."""
    rows = Table("id, written", "reason, of", "key, detail", box=None, header_style="dim")
    rows.columns[0].no_wrap = True
    for letter in found:
        content, mark = letter.content, letter.handled
        detail = f"{mark.action} by {mark.by}: {mark.why}" if mark else content.detail
        rows.add_row(
            _cell(str(letter.id), _utc(letter.written_ms)),
            _cell(content.reason, content.sink or content.topic),
            _cell(view(letter).key or "", _short(detail)),
        )
    return rows


def _cell(first: str, second: str) -> Text:
    return Text.assemble(plain(first), "\n", (plain(second), "dim"))


def told(letter: Letter) -> list[Text]:
    content, mark = letter.content, letter.handled
    rows = [
        ("id", str(letter.id)),
        ("written", _utc(letter.written_ms)),
        ("reason", content.reason),
        ("detail", content.detail),
        ("of", f"{content.topic}, partition {content.partition}, offset {content.offset}"),
        ("at", _utc(content.timestamp_ms)),
        ("key", view(letter).key or "none"),
    ]
    if content.sink:
        rows.append(("store", f"{content.sink}, after {content.tries} tries"))
    if mark:
        rows.append((mark.action, f"{_utc(mark.at_ms)} by {mark.by}: {mark.why}"))
    lines = [Text.assemble((f"{name:<9}", "dim"), plain(said)) for name, said in rows]
    return [*lines, Text(""), *_bytes(content.value, content.left_out_bytes)]


def decided(report: Report) -> list[Text]:
    """What becomes of each letter, and how many there are."""
    done = ("" if report.done else "would be ") + report.action
    lines = []
    for verdict in report.verdicts:
        said = f"refused: {verdict.objection}" if verdict.objection else done
        note = f" ({verdict.note})" if verdict.note and not verdict.objection else ""
        lines.append(Text(f"{verdict.letter.id}  {plain(said + note)}", "red" if verdict.objection else ""))
    total = f"{len(report.good)} {done}, {len(report.verdicts) - len(report.good)} refused"
    return [*lines, Text(total + (f"; {report.more:,} more match: the same again" if report.more else ""))]


def _bytes(value: bytes | None, left_out: int) -> list[Text]:
    if value is None:
        return [Text(f"{left_out:,} bytes, too many for a letter" if left_out else "no value", "dim")]
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if text.replace("\n", "").replace("\t", "").isprintable():  # a terminal obeys what is not
        return [Text(f"{len(value):,} bytes of text", "dim"), Text(text)]
    shown = value[:HEX_MAX]
    lines = [Text(f"{at:06x}  {shown[at : at + 32].hex(' ', 4)}") for at in range(0, len(shown), 32)]
    more = f", the first {HEX_MAX:,} here; --raw gives all" if len(value) > HEX_MAX else ""
    return [Text(f"{len(value):,} bytes{more}", "dim"), *lines]


def _short(text: str) -> str:
    return text if len(text) <= DETAIL_MAX else text[: DETAIL_MAX - 1] + "…"


def stamp(at: datetime | None) -> str:
    """Of one in UTC; "" where there is none."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%SZ}"


def _utc(epoch_ms: int) -> str:
    return stamp(utc(epoch_ms))
