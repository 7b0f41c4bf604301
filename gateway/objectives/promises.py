"""The objectives of docs/slo.md, and what is thought of each by its counts. Pure.

The same as ops/prometheus/slo.yml computes from what is scraped; tests/unit/gateway/objectives holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

HOUR_S = 3_600
MONTH_S = 30 * 24 * HOUR_S
# A burn rate, the long window that it must be above, and the short one: "Alerting on SLOs" of Google's Site Reliability
# Workbook.
BURNS = ((14.4, HOUR_S, 300), (6.0, 6 * HOUR_S, 1_800))
WINDOWS_S = (300, 1_800, HOUR_S, 6 * HOUR_S, MONTH_S)


class Count(NamedTuple):
    good: int
    total: int

    @property
    def bad(self) -> int:
        return self.total - self.good

    @property
    def bad_share(self) -> float | None:
        """None: there was nothing."""
        return self.bad / self.total if self.total else None

    def plus(self, other: "Count") -> "Count":
        return Count(self.good + other.good, self.total + other.total)


NOTHING = Count(0, 0)


@dataclass(frozen=True)
class Objective:
    name: str
    promise: str
    allowed: float  # share of bad ones; 0: there is no budget
    least_bad: int  # of an hour: fewer wake nobody
    section: str  # of the runbook


INGEST = Objective("ingest", "what producers send is answered, not refused with 5xx", 0.001, 10, "ingesterrors")
FRESHNESS = Objective("freshness", "an update is on the screen within 1 s of its newest event", 0.01, 100, "livelate")
CORRECTNESS = Objective("correctness", "every event accepted is in the numbers once", 0.0, 1, "audit_wrong")
OBJECTIVES = (INGEST, FRESHNESS, CORRECTNESS)


@dataclass(frozen=True)
class Standing:
    objective: Objective
    month: Count  # of 30 days
    budget_left: float | None  # 1: all, below 0: more than all is spent; None: nothing was counted, or there is none
    burn_1h: float | None  # 1: the budget lasts just the 30 days; None: as above
    burn_6h: float | None
    burning: bool  # so fast that somebody is woken

    @property
    def share(self) -> float | None:
        """Of good ones; None: nothing was counted."""
        bad = self.month.bad_share
        return None if bad is None else 1 - bad


def standing(objective: Objective, counts: Mapping[int, Count]) -> Standing:
    """`counts`: by window, in seconds: those of WINDOWS_S."""
    spent = _burn(objective, counts[MONTH_S])
    return Standing(
        objective=objective,
        month=counts[MONTH_S],
        budget_left=None if spent is None else 1 - spent,
        burn_1h=_burn(objective, counts[HOUR_S]),
        burn_6h=_burn(objective, counts[6 * HOUR_S]),
        burning=counts[HOUR_S].bad >= objective.least_bad
        and any(
            all((counts[window_s].bad_share or 0) > rate * objective.allowed for window_s in windows_s)
            for rate, *windows_s in BURNS
        ),
    )


def _burn(objective: Objective, count: Count) -> float | None:
    share = count.bad_share
    return None if share is None or not objective.allowed else share / objective.allowed
