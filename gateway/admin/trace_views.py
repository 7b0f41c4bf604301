"""A trace as it is told, by the API and by `classpulse trace --json`."""

from datetime import datetime
from typing import Annotated

import msgspec
from pydantic import BaseModel, Field

from gateway.admin.fates import Fate, Judgement, Outcome
from gateway.admin.tracing import Trace
from gateway.admin.views import LetterView, utc, view
from gateway.admin.windows import windows_of
from wire.events import ActivityEvent, Kind
from wire.metrics import Metric

TEXT_MAX = 1_000  # characters shown of what is no event


class EventView(BaseModel):
    event_id: str
    student_id: Annotated[str, Field(examples=["s001"])]
    course_id: Annotated[str, Field(examples=["py101"])]
    team_id: str | None
    kind: Kind
    source: Annotated[str, Field(description="the producer's name", examples=["lms"])]
    occurred_at: datetime
    received_at: datetime
    task_id: str | None
    score: float | None
    success: bool | None
    duration_s: float | None


class SpanView(BaseModel):
    """Windows of one length, as the history has them."""

    window_s: Annotated[int, Field(examples=[60])]
    starts: list[datetime]
    metrics: Annotated[
        dict[str, list[Metric]],
        Field(description="scope → what is told of it", examples=[{"course:py101": ["events_per_minute"]}]),
    ]


class RecordView(BaseModel):
    """A record of `activity` with the event id."""

    partition: int
    offset: int
    written: datetime
    key: Annotated[str | None, Field(description="bytes that are not UTF-8 as \\xff", examples=["s001"])]
    replayed_from: Annotated[
        str | None, Field(description="the letter it was", examples=["activity.dead-letters-3-41"])
    ]
    event: Annotated[EventView | None, Field(description="null: it is none")]
    problem: Annotated[str | None, Field(description="why it is no event")]
    text: Annotated[str | None, Field(description=f"of one that is no event: the first {TEXT_MAX:,} characters")]
    claimed: Annotated[
        bool | None,
        Field(description="whether a door has said that it acknowledged it to its producer; null: not known"),
    ]
    door: Annotated[str | None, Field(description="which one")]
    claimed_at: Annotated[datetime | None, Field(description="when it said so")]
    fate: Fate
    why: Annotated[str | None, Field(description="it is not known")]
    duplicate_of: Annotated[list[int], Field(description="offsets in the same partition")]
    letter: Annotated[LetterView | None, Field(description="of a dead one; null: it was not found")]
    windows: Annotated[
        list[SpanView] | None, Field(description="that it counts in, or would; null of one that does not count")
    ]


class Searched(BaseModel):
    since: datetime
    until: datetime
    partitions: list[int]
    read: Annotated[int, Field(description="records")]
    total: Annotated[int, Field(description="less were read where time was up")]


class TraceView(BaseModel):
    event_id: str
    outcome: Outcome
    answer: Annotated[str, Field(examples=["counted once, at offset 41 of partition 3"])]
    complete: Annotated[
        bool, Field(description="false: time was up before all was read; name the `student`, or a later `since`")
    ]
    records: Annotated[list[RecordView], Field(description="in the order they were written")]
    more: Annotated[int, Field(description="records with this event id that were not looked at")]
    searched: Searched


def trace_view(trace: Trace) -> TraceView:
    asked = trace.question
    return TraceView(
        event_id=asked.event_id,
        outcome=trace.outcome,
        answer=trace.answer,
        complete=trace.complete,
        records=[_record(one) for one in trace.judgements],
        more=trace.more,
        searched=Searched(
            since=utc(asked.since_ms),
            until=utc(asked.now_ms),
            partitions=trace.partitions,
            read=trace.read,
            total=trace.total,
        ),
    )


def _record(one: Judgement) -> RecordView:
    of, claim = one.of, one.claim
    counts = of.event is not None and one.fate in (Fate.FOLDED, Fate.IN_FLIGHT, Fate.UNKNOWN)
    return RecordView(
        partition=of.partition,
        offset=of.offset,
        written=utc(of.written_ms),
        key=None if of.key is None else of.key.decode("utf-8", "backslashreplace"),
        replayed_from=of.origin or None,
        event=of.event and _event(of.event),
        problem=of.problem or None,
        text=None if of.event else of.value.decode("utf-8", "backslashreplace")[:TEXT_MAX],
        claimed=one.claimed,
        door=claim and claim.door,
        claimed_at=claim and utc(claim.at_ms),
        fate=one.fate,
        why=one.why or None,
        duplicate_of=one.first,
        letter=one.letter and view(one.letter),
        windows=_windows(of.event) if of.event and counts else None,
    )


def _event(event: ActivityEvent) -> EventView:
    fields = msgspec.structs.asdict(event)
    occurred_at, received_at = utc(fields.pop("occurred_at_ms")), utc(fields.pop("received_at_ms"))
    return EventView(**fields, occurred_at=occurred_at, received_at=received_at)


def _windows(event: ActivityEvent) -> list[SpanView]:
    return [
        SpanView(window_s=span.window_s, starts=[utc(start_ms) for start_ms in span.starts_ms], metrics=span.metrics)
        for span in windows_of(event)
    ]
