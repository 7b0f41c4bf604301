"""What health tells, in the members of draft-inadarei-api-health-check-06 and our own beside them. Pure."""

from datetime import UTC, datetime
from importlib import metadata
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.canary import Round
from gateway.probes import Finding
from wire.workers import Heartbeat

Status = Literal["pass", "warn", "fail"]


class Told(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Check(Told):
    component_id: str
    component_type: Literal["component", "datastore", "system"]
    status: Status
    time: Annotated[datetime, Field(description="as of when")]
    observed_value: Annotated[float | None, Field(examples=[2.4])] = None
    observed_unit: Annotated[str | None, Field(examples=["ms"])] = None
    output: Annotated[str | None, Field(description="what is wrong; none where nothing is")] = None
    detail: Annotated[str | None, Field(examples=["topic activity has 8 partitions, each with a leader"])] = None
    since: Annotated[datetime | None, Field(description="it has been so since then, as far as this process knows")] = (
        None
    )
    last_error: str | None = None
    last_error_time: datetime | None = None


class Works(BaseModel):
    what: Annotated[str, Field(examples=["events are accepted"])]
    works: bool
    because: Annotated[list[str], Field(description="what is missing for it")]
    meanwhile: str


class Health(BaseModel):
    """`pass`, `warn` or `fail` (503)."""

    status: Status
    version: str = "1"
    releaseId: str = metadata.version("classpulse")  # noqa: N815 -- the draft's name
    description: str = "ClassPulse, as this gateway process sees it"
    reasons: Annotated[list[str], Field(description="why it is not `pass`", examples=[[]])]
    checked_at: datetime
    checks: Annotated[
        dict[str, list[Check]],
        Field(
            description="`kafka:responseTime` and so on, `aggregate:workers` and so on, `probe:age`, `probe:latency`"
        ),
    ]
    works: Annotated[list[Works], Field(description="what works, and what becomes of the rest meanwhile")]
    workers: Annotated[
        list[dict[str, Any]], Field(description="what each worker last said of itself, and `age_s`, how long ago")
    ]


class Ready(BaseModel):
    status: Literal["ready", "not ready"]
    reasons: Annotated[list[str], Field(examples=[[]])]
    checks: dict[str, list[Check]] | None = None


class Started(BaseModel):
    status: Literal["started", "starting"]
    reasons: Annotated[list[str], Field(examples=[[]])]


def of_server(name: str, found: Finding) -> Check:
    return Check(
        component_id=name,
        component_type="datastore",
        status="pass" if found.up else "fail",
        time=_moment(found.asked_at),
        observed_value=found.latency_ms,
        observed_unit="ms",
        output=None if found.up else found.detail,
        detail=found.detail if found.up else None,
        since=_moment(found.since),
        last_error=found.last_error or None,
        last_error_time=None if found.last_error_at is None else _moment(found.last_error_at),
    )


def of_workers(app: str, beats: list[Heartbeat], now: datetime) -> list[Check]:
    """One for each worker of a pipeline; where there is none, one that says so. Observed: the records not read."""
    checks = [
        Check(
            component_id=beat.worker_id,
            component_type="component",
            status="pass" if beat.ready else "warn",
            time=_moment(beat.sent_at_ms / 1000),
            observed_value=beat.lag_records,
            observed_unit="records unread",
            output=beat.reason or None,
            since=_moment(beat.started_at_ms / 1000) if beat.ready else None,
        )
        for beat in beats
        if beat.app == app
    ]
    none = Check(component_id=app, component_type="component", status="fail", time=now, output="there is no worker")
    return checks or [none]


def of_probe(found: Round, now: datetime) -> dict[str, list[Check]]:
    """The way of an event from the door to a viewer."""
    output = None
    if found.is_late:
        output = f"none has come back for {found.age_s:.0f} s" + (f"; {found.error}" if found.error else "")
    status: Status = "warn" if found.is_late else "pass"
    checks = {
        "probe:age": Check(
            component_id="probe", component_type="system", status=status, time=now,
            observed_value=round(found.age_s, 3), observed_unit="s", output=output,
        )
    }  # fmt: skip
    if found.latency_s is not None:
        checks["probe:latency"] = Check(
            component_id="probe", component_type="system", status=status, time=now,
            observed_value=round(found.latency_s * 1000, 1), observed_unit="ms",
        )  # fmt: skip
    return {name: [check] for name, check in checks.items()}


def worker(beat: Heartbeat, now: datetime) -> dict[str, Any]:
    age_s = max(0.0, now.timestamp() - beat.sent_at_ms / 1000)
    return {**msgspec.to_builtins(beat), "age_s": round(age_s, 3)}


def _moment(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
