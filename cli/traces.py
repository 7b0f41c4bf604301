"""A trace on a terminal, which gets nothing of an event's that it would obey."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from cli.cells import plain
from gateway.admin.fates import Fate
from gateway.admin.trace_views import EventView, RecordView, SpanView, TraceView
from wire import topics
from wire.metrics import DAY_S, FIVE_MINUTES_S, HOUR_S, MINUTE_S

_LENGTHS = {MINUTE_S: "minute", FIVE_MINUTES_S: "5 minutes", HOUR_S: "hour", DAY_S: "day"}


def told(trace: TraceView) -> list[Text]:
    searched = trace.searched
    where = f"partition {searched.partitions[0]}" if len(searched.partitions) == 1 else "all partitions"
    lines = [Text(plain(trace.answer), "bold")]
    for record in trace.records:
        lines += [Text(""), Text(f"partition {record.partition}, offset {record.offset}")]
        lines += [Text.assemble("  ", (f"{name:<9}", "dim"), plain(said)) for name, said in _rows(record)]
    if trace.more:
        lines += [Text(""), Text(f"and {trace.more:,} more records with this event id, which were not looked at")]
    found = f"searched {searched.read:,} records of {where} of {topics.ACTIVITY}, written since {_time(searched.since)}"
    return [*lines, Text(""), Text(found, "dim")]


def _rows(record: RecordView) -> Iterator[tuple[str, str]]:
    if event := record.event:
        yield "event", _what(event)
        yield "happened", _time(event.occurred_at)
        later_s = (event.received_at - event.occurred_at).total_seconds()
        yield "received", f"{_time(event.received_at)}, {later_s:.3f} s after it happened"
    else:
        yield "problem", f"it is no event: {record.problem}"
        yield "bytes", record.text or ""
    yield "written", _time(record.written)
    yield "key", "none" if record.key is None else record.key
    if record.replayed_from:
        yield "replayed", f"from {record.replayed_from}"
    yield "accepted", _accepted(record)
    yield "fate", _fate(record)
    if record.windows:
        yield "scopes", ", ".join(dict.fromkeys(scope for span in record.windows for scope in span.metrics))
        for number, span in enumerate(record.windows):
            yield from _windows(span, "" if number else "windows")


def _what(event: EventView) -> str:
    marks = {"task": event.task_id, "score": event.score, "success": event.success, "duration_s": event.duration_s}
    team = f", team {event.team_id}" if event.team_id else ""
    said = "".join(f", {name} {mark}" for name, mark in marks.items() if mark is not None)
    return f"{event.kind} of {event.student_id} in course {event.course_id}{team}{said}; source {event.source}"


def _accepted(record: RecordView) -> str:
    if record.claimed is None:
        return "not known: time was up before all of the audit was read"
    if record.door and record.claimed_at:
        return f"acknowledged by the door {record.door}, which said so at {_time(record.claimed_at)}"
    if record.replayed_from:
        return "by no door: replays are not"
    return "unclaimed: no door has said that it acknowledged it (written by others, or the door was killed)"


def _fate(record: RecordView) -> str:
    if record.fate is Fate.FOLDED:
        return "folded: it counts"
    if record.fate is Fate.DUPLICATE:
        offsets = ", ".join(map(str, record.duplicate_of))
        return f"duplicate of offset {offsets}" if offsets else "duplicate of one that lies before what was searched"
    if record.fate is Fate.LATE:
        return f"late: it is kept in {topics.LATE}, and counts in no window"
    if record.fate is Fate.DEAD:
        if (letter := record.letter) is None:
            return f"dead; its letter was not found in {topics.DEAD_LETTERS}"
        deed = letter.handled
        done = f"; {deed.action} by {deed.by} at {_time(deed.at)}: {deed.why}" if deed else "; not handled"
        return f"dead, {letter.reason}: {letter.detail} (letter {letter.id}{done})"
    return "not read yet" if record.fate is Fate.IN_FLIGHT else f"not known: {record.why}"


def _windows(span: SpanView, name: str) -> Iterator[tuple[str, str]]:
    """One line for those scopes of which the same is told."""
    kinds = defaultdict[str, list[str]](list)
    for scope, metrics in span.metrics.items():
        kinds[", ".join(metrics)].append(scope.partition(":")[0])
    first, last = (f"{start:%Y-%m-%dT%H:%M:%SZ}" for start in (span.starts[0], span.starts[-1]))
    at = first if first == last else f"{first} to {last}, each minute"
    yield name, f"{_LENGTHS[span.window_s]} from {at}"
    for names, of in kinds.items():
        yield "", f"  {', '.join(of)}: {names}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}Z"
