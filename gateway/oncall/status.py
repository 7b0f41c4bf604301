"""The system's verdict as the API tells it. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from gateway.findings import Works
from gateway.objectives import views as objectives
from gateway.objectives.views import ObjectiveView
from gateway.oncall.changes import Change, Changes
from gateway.oncall.lookout import Look
from gateway.oncall.reasons import RUNBOOK, Level, Reason

Verdict = Annotated[
    Level,
    Field(
        description="failing: events are refused or lost, or numbers are wrong; degraded: something is late or "
        "missing; unknown: something cannot be judged; ok"
    ),
]
About = Annotated[
    str,
    Field(
        description="a server, `group NAME`, `workers PIPELINE`, `gateway HOST PID`, `probe`, `audit` or `rate limits`",
        examples=["kafka"],
    ),
]


class ReasonView(BaseModel):
    about: About
    verdict: Verdict
    says: Annotated[str, Field(examples=["kafka is away: no answer within 1.5 s"])]
    since: Annotated[datetime, Field(description="it has been so since then, as far as this process knows")]
    runbook: Annotated[str, Field(examples=[f"{RUNBOOK}#server_away"])]


class ChangeView(BaseModel):
    at: Annotated[datetime, Field(description="when it was noticed")]
    about: Annotated[str, Field(description="as of a reason, or `system`", examples=["system"])]
    before: Verdict
    verdict: Verdict
    says: Annotated[str, Field(description='why; "": it is right again')]


class ProbeView(BaseModel):
    age_s: Annotated[float, Field(description="since the newest probe was sent that has come back")]
    latency_s: Annotated[float | None, Field(description="that it took; null: none has come back")]
    late: bool


class AuditLook(BaseModel):
    at: Annotated[datetime | None, Field(description="as of when; null: it has not been looked at yet")]
    adds_up: Annotated[bool | None, Field(description="null: not known")]
    says: Annotated[str, Field(description='what does not, or why it is not known; "": it adds up')]


class SystemStatus(BaseModel):
    verdict: Verdict
    says: Annotated[str, Field(description="the worst reason, and how many more there are", examples=["all works"])]
    since: Annotated[datetime, Field(description="the verdict is this since then, as far as this process knows")]
    seen: Annotated[datetime, Field(description="as of when")]
    reasons: Annotated[list[ReasonView], Field(description="the worst first")]
    works: Annotated[list[Works], Field(description="what works, and what becomes of the rest meanwhile")]
    probe: Annotated[ProbeView | None, Field(description="null: none is sent")]
    audit: AuditLook
    objectives: Annotated[list[ObjectiveView], Field(description="what is promised, and how much of it is kept")]
    changes: Annotated[list[ChangeView], Field(description="of the last hour, the newest first")]
    next: Annotated[int | None, Field(description="`before` of the next page of changes; null: this is the last")]


def view(look: Look, changes: Changes, now_ms: int, limit: int, before: int | None) -> SystemStatus:
    """`before`: the number of a change."""
    lately = [one for one in changes.lately(now_ms) if before is None or one.number < before]
    page = lately[:limit]
    round_, audited = look.probe, look.audited
    return SystemStatus(
        verdict=look.level,
        says=_says(look.reasons),
        since=at(look.at_ms if changes.since_ms is None else changes.since_ms),
        seen=at(look.at_ms),
        reasons=[_reason(one, changes, look.at_ms) for one in look.reasons],
        works=[Works(**standing._asdict()) for standing in look.works],
        probe=None
        if round_ is None
        else ProbeView(age_s=round(round_.age_s, 3), latency_s=_rounded(round_.latency_s), late=round_.is_late),
        audit=AuditLook(
            at=None if audited is None else at(audited.at_ms),
            adds_up=None if audited is None else audited.adds_up,
            says=look.audit_away or ("not looked at yet" if audited is None else audited.says),
        ),
        objectives=objectives.view(look.objectives, look.stored_s),
        changes=[_change(one) for one in page],
        next=page[-1].number if page and len(lately) > limit else None,
    )


def at(epoch_ms: float) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def _says(reasons: Sequence[Reason]) -> str:
    if not reasons:
        return "all works"
    more = len(reasons) - 1
    return reasons[0].says + (f"; and {more} more" if more else "")


def _reason(one: Reason, changes: Changes, now_ms: int) -> ReasonView:
    since_ms = changes.since_of(one.about) if one.since_ms is None else one.since_ms
    return ReasonView(
        about=one.about,
        verdict=one.level,
        says=one.says,
        since=at(now_ms if since_ms is None else since_ms),
        runbook=f"{RUNBOOK}#{one.section}",
    )


def _change(one: Change) -> ChangeView:
    return ChangeView(at=at(one.at_ms), about=one.about, before=one.before, verdict=one.after, says=one.says)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
