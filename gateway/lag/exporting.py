"""Views as Prometheus metrics (gateway/telemetry.py)."""

import math

from gateway import telemetry
from gateway.lag.board import View
from gateway.lag.states import State
from gateway.lag.summary import Judged


def tell(view: View, seen_at_s: float | None) -> None:
    """`seen_at_s`: epoch seconds of the last time that Kafka answered; None: never yet."""
    for group, verdict in view.groups.items():
        for state in State:
            telemetry.GROUP_VERDICT.labels(group, state.value).set(verdict.state is state)
        for judged in view.partitions[group]:
            _partition(judged)
    if seen_at_s is not None:
        telemetry.GROUPS_SEEN.set(seen_at_s)


def _partition(judged: Judged) -> None:
    told = judged.verdict.measures
    if told is None:
        return
    telemetry.GROUP_LAG.labels(*judged.place).set(told.lag)
    telemetry.GROUP_LAG_SECONDS.labels(*judged.place).set(math.nan if told.lag_s is None else told.lag_s)
    telemetry.GROUP_MARGIN.labels(*judged.place).set(math.inf if told.margin_s is None else told.margin_s)
    telemetry.GROUP_LOST.labels(*judged.place).set(told.lost_total)
