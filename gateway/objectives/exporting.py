"""How the objectives stand as Prometheus metrics (gateway/telemetry.py)."""

import math
from collections.abc import Sequence

from gateway import telemetry
from gateway.objectives.promises import Standing


def tell(standings: Sequence[Standing]) -> None:
    for one in standings:
        name = one.objective.name
        telemetry.OBJECTIVE_SHARE.labels(name).set(_number(one.share))
        telemetry.OBJECTIVE_BUDGET.labels(name).set(_number(one.budget_left))
        telemetry.OBJECTIVE_BURN.labels(name, "1h").set(_number(one.burn_1h))
        telemetry.OBJECTIVE_BURN.labels(name, "6h").set(_number(one.burn_6h))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
