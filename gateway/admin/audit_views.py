"""The audit as it is told, by the API and by `classpulse audit balance --json`."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from gateway.admin.audit import Found
from gateway.admin.views import utc
from wire.audit import Balance, Stage, Wrong
from wire.audit import Totals as Verdicts

MINUTES_MAX = 5_000  # some 1 MB
WRONG_MAX = 1_000


class Sums(BaseModel):
    """Events. accepted + unclaimed = folded + duplicate + late + dead, where it adds up."""

    accepted: Annotated[int, Field(description="events acknowledged by Kafka to a door, and by it to producers")]
    unclaimed: Annotated[
        int, Field(description="in Kafka, but claimed by no door: written by others, or by a door without an answer")
    ]
    folded: int
    duplicate: int
    late: int
    dead: int
    difference: Annotated[int, Field(description="what does not add up, over the stages, each without its sign")]


class MinuteView(Sums):
    partition: int
    minute: Annotated[datetime, Field(description="of record time")]
    first: Annotated[int, Field(description="offset in activity")]
    last: int


class PartitionView(Sums):
    partition: int
    in_flight: Annotated[int, Field(description="events in Kafka since `since` that are in no balance yet")]
    first: Annotated[int | None, Field(description="offset in activity; null: no balance since then")]
    last: int | None


class Totals(Sums):
    in_flight: int


class WrongView(BaseModel):
    partition: int
    minute: Annotated[datetime | None, Field(description="null: beyond the end of the partition")]
    stage: Stage
    first: Annotated[int, Field(description="offset in activity")]
    last: int
    number: Annotated[int, Field(description="events; below 0: too many")]
    says: Annotated[str, Field(examples=["partition 3, offsets 41 to 43: 3 events are in Kafka, but not judged"])]


class AuditView(BaseModel):
    since: datetime
    adds_up: bool
    complete: Annotated[bool, Field(description="false: not all could be read; `gaps` says why")]
    gaps: list[str]
    totals: Totals
    partitions: list[PartitionView]
    wrong: list[WrongView]
    more_wrong: Annotated[int, Field(description=f"behind the first {WRONG_MAX:,}")]
    minutes: Annotated[list[MinuteView], Field(description="the newest balance of each partition and minute")]
    more_minutes: Annotated[int, Field(description=f"before the newest {MINUTES_MAX:,}")]


_SAYS = {  # of a stage, too few and too many
    Stage.DOOR: ("acknowledged at the door, but not in Kafka", "acknowledged twice"),
    Stage.FOLD: ("in Kafka, but not judged", "judged twice"),
    Stage.WINDOWS: ("judged, but not in the windows", "in the windows, but not judged"),
}


def audit_view(found: Found) -> AuditView:
    of: defaultdict[int, list[Balance]] = defaultdict(list)
    for balance in found.balances:
        of[balance.partition].append(balance)
    partitions, wrong = [], []
    for partition in sorted(of.keys() | found.ends.keys()):
        balances = of[partition]
        last = max((balance.last for balance in balances), default=None)
        in_flight = found.ends.get(partition, 0) - (found.starts.get(partition, 0) if last is None else last + 1)
        wrong += [_wrong(partition, balance.minute_ms, one) for balance in balances for one in balance.wrong]
        lost = max(0, -in_flight)  # the partition ends before, or is gone
        if lost and last is not None:
            beyond = Wrong(stage=Stage.DOOR, first=last + 1 - lost, last=last, number=lost)
            wrong.append(_wrong(partition, None, beyond))
        sums = _sums(balances)
        sums["difference"] += lost
        first = min((balance.first for balance in balances), default=None)
        partitions.append(
            PartitionView(partition=partition, in_flight=max(0, in_flight), first=first, last=last, **sums)
        )
    totals = Totals(**{name: sum(getattr(one, name) for one in partitions) for name in Totals.model_fields})
    return AuditView(
        since=utc(found.since_ms),
        adds_up=not (wrong or totals.difference),
        complete=not found.gaps,
        gaps=found.gaps,
        totals=totals,
        partitions=partitions,
        wrong=wrong[:WRONG_MAX],
        more_wrong=max(0, len(wrong) - WRONG_MAX),
        minutes=[_minute(balance) for balance in found.balances[-MINUTES_MAX:]],
        more_minutes=max(0, len(found.balances) - MINUTES_MAX),
    )


def _sums(balances: Sequence[Balance]) -> dict[str, int]:
    own = {name: sum(getattr(one, name) for one in balances) for name in ("accepted", "unclaimed", "difference")}
    verdicts = {name: sum(getattr(one.totals, name) for one in balances) for name in Verdicts.__struct_fields__}
    return own | verdicts


def _minute(balance: Balance) -> MinuteView:
    return MinuteView(
        partition=balance.partition,
        minute=utc(balance.minute_ms),
        first=balance.first,
        last=balance.last,
        **_sums([balance]),
    )


def _wrong(partition: int, minute_ms: int | None, of: Wrong) -> WrongView:
    number = abs(of.number)
    events = "1 event is" if number == 1 else f"{number:,} events are"
    where = f"offset {of.first}" if of.first == of.last else f"offsets {of.first} to {of.last}"
    return WrongView(
        partition=partition,
        minute=None if minute_ms is None else utc(minute_ms),
        stage=of.stage,
        first=of.first,
        last=of.last,
        number=of.number,
        says=f"partition {partition}, {where}: {events} {_SAYS[of.stage][of.number < 0]}",
    )
