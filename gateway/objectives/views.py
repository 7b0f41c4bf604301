"""How the objectives stand, as the API tells it. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from gateway.objectives.promises import Standing
from gateway.oncall.reasons import RUNBOOK

Rate = Annotated[
    float | None,
    Field(description="share of bad ones over the share allowed: 1 spends just the budget; null: as budget_left"),
]


class ObjectiveView(BaseModel):
    """Of 30 days, of all processes of the gateway (docs/slo.md)."""

    objective: Annotated[str, Field(examples=["ingest"])]
    promise: Annotated[str, Field(examples=["what producers send is answered, not refused with 5xx"])]
    target: Annotated[float, Field(description="share of good ones that is promised", examples=[0.999])]
    share: Annotated[float | None, Field(description="of good ones; null: there were none")]
    total: Annotated[int, Field(description="requests, updates, or looks at the audit")]
    bad: Annotated[int, Field(description="of them")]
    budget_left: Annotated[
        float | None,
        Field(description="1: all, below 0: more than all is spent; null: nothing was counted, or 100 % is promised"),
    ]
    burn_1h: Rate
    burn_6h: Rate
    burning: Annotated[bool, Field(description="so fast that somebody is woken")]
    runbook: Annotated[str, Field(examples=[f"{RUNBOOK}#ingesterrors"])]
    stored: Annotated[
        datetime | None,
        Field(description="as of when those of other processes, and of before the start, are in it; null: none are"),
    ]


def view(standings: Sequence[Standing], stored_s: float | None) -> list[ObjectiveView]:
    """`stored_s`: epoch."""
    stored = None if stored_s is None else datetime.fromtimestamp(stored_s, UTC)
    return [
        ObjectiveView(
            objective=one.objective.name,
            promise=one.objective.promise,
            target=1 - one.objective.allowed,
            share=_rounded(one.share),
            total=one.month.total,
            bad=one.month.bad,
            budget_left=_rounded(one.budget_left),
            burn_1h=_rounded(one.burn_1h),
            burn_6h=_rounded(one.burn_6h),
            burning=one.burning,
            runbook=f"{RUNBOOK}#{one.objective.section}",
            stored=stored,
        )
        for one in standings
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
