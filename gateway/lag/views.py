"""Consumer lag as the API tells it, and `classpulse lag --json`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from gateway.lag.board import View
from gateway.lag.causes import Cause
from gateway.lag.rounds import Extent
from gateway.lag.sampler import Change
from gateway.lag.samples import Phase
from gateway.lag.states import State
from gateway.lag.summary import GroupVerdict, Judged
from wire.topics import Topic

RUNBOOK = "docs/runbook.md"

Verdict = Annotated[State, Field(description="each is explained in docs/runbook.md")]
Says = Annotated[str, Field(description="why, in a sentence", examples=["all 8 partitions keep up"])]
Confidence = Annotated[
    float, Field(ge=0, le=1, description="in the verdict: little has been seen, or the cause is not")
]
LagSeconds = Annotated[float | None, Field(description="age of the first unread record; null: not known")]
Margin = Annotated[
    float | None,
    Field(description="seconds until the first unread record may be deleted; null: there is none, or never"),
]
Lost = Annotated[int, Field(description="records deleted unread since this gateway began to watch")]


class Verdicts(BaseModel):
    """How many are how, the worst first."""

    verdict: Verdict
    number: int


class GroupView(BaseModel):
    group: Annotated[str, Field(examples=["aggregate"])]
    verdict: Verdict
    since: Annotated[datetime | None, Field(description="null: nothing has been seen of it yet")]
    says: Says
    confidence: Confidence
    runbook: Annotated[str, Field(examples=[f"{RUNBOOK}#stalled"])]
    topics: list[str]
    partitions: list[Verdicts]
    lag: Annotated[int, Field(description="records unread, over all partitions")]
    lag_s: LagSeconds
    margin_s: Margin
    lost: Lost
    rate_in: Annotated[float, Field(description="records a second that come")]
    rate_out: Annotated[float, Field(description="records a second that are read and committed")]


class ChangeView(BaseModel):
    at: datetime
    group: str
    before: Verdict
    verdict: Verdict
    says: Says


class ConsumersView(BaseModel):
    """The worst of all groups is the system's verdict."""

    verdict: Verdict
    says: Says
    seen: Annotated[datetime, Field(description="when this was judged")]
    away: Annotated[str, Field(description='why nothing could be seen just now; "": it could', examples=[""])]
    groups: Annotated[list[GroupView], Field(description="the worst first")]
    changes: Annotated[
        list[ChangeView], Field(description="verdicts that became others, the newest first, 200 at most")
    ]


class PartitionView(BaseModel):
    topic: str
    partition: int
    verdict: Verdict
    since: datetime
    cause: Annotated[Cause, Field(description='"": there is none to name')]
    says: Says
    confidence: Confidence
    committed: Annotated[int | None, Field(description="offset; null: never")]
    position: Annotated[int, Field(description="offset of the first unread record, or the end")]
    first: Annotated[int, Field(description="offset of the first record that is kept")]
    end: Annotated[int, Field(description="offset of the next record")]
    lag: Annotated[int, Field(description="records unread")]
    lag_s: LagSeconds
    rate_in: float
    rate_out: float
    catch_up_s: Annotated[float | None, Field(description="until all is read, at these rates; null: never")]
    margin_s: Margin
    lost: Annotated[int, Field(description="records deleted unread, as it stands")]
    lost_total: Lost
    owner: Annotated[str | None, Field(description="the member that has it; null: nobody")]
    worker: Annotated[str | None, Field(description="whose heartbeat says that he has it; null: none does")]
    group_phase: Phase


class LagView(BaseModel):
    group: GroupView
    partitions: Annotated[list[PartitionView], Field(description="by topic and number")]
    next: Annotated[str | None, Field(description="`after` of the next page; null: this is the last")]


class ReaderView(BaseModel):
    group: str
    verdict: Verdict


class TopicView(BaseModel):
    name: str
    about: str
    partitions: Annotated[int, Field(description="as Kafka has them; 0: it has no such topic")]
    leaderless: Annotated[list[int], Field(description="partitions that nobody can read or write now")]
    retention_s: Annotated[float | None, Field(description="null: kept for good, the newest of each key")]
    records: Annotated[
        int | None, Field(description="offsets between the first and the end, over all partitions; null: not known")
    ]
    rate_in: Annotated[float | None, Field(description="records a second, over the last 15 s; null: not known")]
    writers: list[str]
    readers: list[str]
    groups: Annotated[list[ReaderView], Field(description="the consumer groups among its readers")]


class TopicsView(BaseModel):
    away: Annotated[str, Field(description='why nothing could be seen just now; "": it could', examples=[""])]
    topics: Annotated[list[TopicView], Field(description="as topics.yaml has them")]
    next: Annotated[str | None, Field(description="`after` of the next page; null: this is the last")]


class Clock:
    """Turns the sampler's seconds into times of day."""

    def __init__(self, now_s: float, now_ms: int) -> None:
        self._now_s = now_s
        self.now = datetime.fromtimestamp(now_ms / 1000, UTC)

    def at(self, at_s: float) -> datetime:
        return self.now - timedelta(seconds=max(0.0, self._now_s - at_s))


def consumers(
    view: View, topics: Mapping[str, Sequence[str]], changes: Sequence[Change], away: str, clock: Clock
) -> ConsumersView:
    worst = sorted(view.groups.values(), key=lambda one: (-one.state.severity, one.group))
    return ConsumersView(
        verdict=view.system.state,
        says=view.system.says,
        seen=clock.at(view.at_s),
        away=away,
        groups=[group(one, topics.get(one.group, ()), clock) for one in worst],
        changes=[
            ChangeView(
                at=datetime.fromtimestamp(one.at_ms / 1000, UTC),
                group=one.group,
                before=one.before,
                verdict=one.after,
                says=one.says,
            )
            for one in reversed(changes)
        ],
    )


def group(of: GroupVerdict, topics: Sequence[str], clock: Clock) -> GroupView:
    return GroupView(
        group=of.group,
        verdict=of.state,
        since=None if of.since_s is None else clock.at(of.since_s),
        says=of.says,
        confidence=of.confidence,
        runbook=f"{RUNBOOK}#{of.state.value}",
        topics=list(topics),
        partitions=[Verdicts(verdict=state, number=number) for state, number in of.counts.items()],
        lag=of.lag,
        lag_s=_s(of.lag_s),
        margin_s=_s(of.margin_s),
        lost=of.lost_total,
        rate_in=round(of.rate_in, 2),
        rate_out=round(of.rate_out, 2),
    )


def partition(judged: Judged, clock: Clock) -> PartitionView | None:
    """None: nothing was ever seen of it."""
    place, verdict, newest = judged
    told = verdict.measures
    if told is None:
        return None
    return PartitionView(
        topic=place.topic,
        partition=place.partition,
        verdict=verdict.state,
        since=clock.at(verdict.since_s),
        cause=verdict.cause,
        says=verdict.says,
        confidence=verdict.confidence,
        committed=newest.committed,
        position=newest.position,
        first=newest.first,
        end=newest.end,
        lag=told.lag,
        lag_s=_s(told.lag_s),
        rate_in=round(told.rate_in, 2),
        rate_out=round(told.rate_out, 2),
        catch_up_s=_s(told.catch_up_s),
        margin_s=_s(told.margin_s),
        lost=told.lost,
        lost_total=told.lost_total,
        owner=newest.owner or None,
        worker=newest.worker.worker_id if newest.worker else None,
        group_phase=newest.phase,
    )


def partitions(view: View, group: str, clock: Clock) -> list[PartitionView]:
    found = (partition(judged, clock) for judged in view.partitions[group])
    return [one for one in found if one is not None]


def topic(wanted: Topic, extent: Extent | None, groups: Mapping[str, Sequence[str]], view: View) -> TopicView:
    there = extent.topic if extent is not None else None
    return TopicView(
        name=wanted.name,
        about=wanted.about,
        partitions=there.partitions if there else 0,
        leaderless=list(there.leaderless) if there else [],
        retention_s=there.retention_s if there else None,
        records=sum(extent.ends.values()) - sum(extent.firsts.values()) if extent and extent.ends else None,
        rate_in=_s(extent.rate_in) if extent else None,
        writers=list(wanted.writers),
        readers=list(wanted.readers),
        groups=[
            ReaderView(group=name, verdict=view.groups[name].state)
            for name, read in groups.items()
            if wanted.name in read
        ],
    )


def _s(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
