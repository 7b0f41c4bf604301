"""What `GET /metrics` tells, as values: of all processes of the gateway where there are several."""

import math
import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.oncall.spread import Spread, of_buckets
from gateway.telemetry import SHARED

Number = float | Literal["NaN", "+Inf", "-Inf"]  # JSON has no such numbers


def families() -> list[Metric]:
    """By name."""
    registry = REGISTRY
    if SHARED in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return sorted(registry.collect(), key=lambda family: family.name)


def number(value: float) -> Number:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return value


def spreads(found: Iterable[Metric], name: str, label: str = "") -> dict[str, Spread]:
    """Of the histogram `name`, by the value of its `label`; "" where it has none. Pure."""
    buckets: defaultdict[str, dict[float, float]] = defaultdict(dict)
    totals: defaultdict[str, float] = defaultdict(float)
    for family in found:
        if family.name != name:
            continue
        for sample in family.samples:
            of = sample.labels.get(label, "")
            if sample.name == f"{name}_bucket":
                buckets[of][float(sample.labels["le"])] = sample.value
            elif sample.name == f"{name}_sum":
                totals[of] = sample.value
    return {of: of_buckets(each, totals[of]) for of, each in buckets.items()}
