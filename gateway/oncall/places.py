"""The drawing of the pipeline as the API tells it: places, the ways between them, and what is thought of each."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from gateway.lag.states import State
from gateway.lag.views import LagSeconds
from gateway.objectives.views import ObjectiveView
from gateway.oncall.status import AuditLook, ChangeView, ProbeView, ReasonView, Verdict

CHANGES_MAX = 50
ERRORS_MAX = 20


class Kind(StrEnum):
    DOOR = "door"
    SERVER = "server"
    TOPIC = "topic"
    GROUP = "group"
    VIEWERS = "viewers"


Rate = Annotated[float | None, Field(description="a second; null: not known, or there is none")]


class Node(BaseModel):
    id: Annotated[str, Field(examples=["group aggregate"])]
    kind: Kind
    name: str
    verdict: Verdict
    says: Annotated[str, Field(description='why, or what it is; ""')]
    since: Annotated[datetime | None, Field(description="it is wrong since then; null: it is not, or not known")] = None
    runbook: Annotated[str | None, Field(description="null: nothing is wrong here by itself")] = None
    state: Annotated[State | None, Field(description="a group's own verdict")] = None
    rate_in: Annotated[Rate, Field(description="events at the door, records at a topic or group")] = None
    rate_out: Annotated[Rate, Field(description="read and committed by a group; writes to viewers")] = None
    lag: Annotated[int | None, Field(description="records that a group has not read")] = None
    lag_s: LagSeconds = None
    workers: Annotated[int | None, Field(description="of a group, that say they live")] = None
    ready: int | None = None
    viewers: Annotated[int | None, Field(description="of this process")] = None
    latency_s: Annotated[
        float | None, Field(description="of a server's answer; at the viewers, of a probe from the door to them")
    ] = None


class Edge(BaseModel):
    """Events go this way."""

    source: Annotated[str, Field(examples=["topic activity"])]
    target: Annotated[str, Field(examples=["group aggregate"])]


class ErrorView(BaseModel):
    at: datetime
    about: str
    says: str


class Pipeline(BaseModel):
    """As this process of the gateway sees it."""

    verdict: Verdict
    says: Annotated[str, Field(examples=["all works"])]
    since: datetime
    seen: Annotated[datetime, Field(description="as of when")]
    first: Annotated[str | None, Field(description="the node that the worst reason is about; null: none")]
    nodes: list[Node]
    edges: list[Edge]
    reasons: Annotated[list[ReasonView], Field(description="the worst first")]
    probe: ProbeView | None
    audit: AuditLook
    changes: Annotated[
        list[ChangeView], Field(description=f"of the last hour, the newest first, {CHANGES_MAX} at most")
    ]
    errors: Annotated[list[ErrorView], Field(description=f"the last of each, the newest first, {ERRORS_MAX} at most")]
    objectives: Annotated[list[ObjectiveView], Field(description="what is promised, and how much of it is kept")]
