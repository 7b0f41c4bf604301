"""What this process has counted since it started, read from the metrics that Prometheus scrapes too."""

import re
from collections.abc import Iterable

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Sample

from gateway.objectives.promises import Count
from gateway.telemetry import HTTP_REQUESTS, LIVE_LATENCY

DOORS = r"/api/v1/events|/xapi/statements|/ingest/.+"
METHODS = ("POST", "PUT")
WITHIN_S = "1.0"  # as the histogram names that bucket

_door = re.compile(DOORS)


def requests() -> Count:
    """To the doors; bad is what was answered with 5xx."""
    total = bad = 0
    for sample in _samples(HTTP_REQUESTS, "_total"):
        labels = sample.labels
        if labels["method"] in METHODS and _door.fullmatch(labels["route"]):
            total += int(sample.value)
            bad += int(sample.value) if labels["status_class"] == "5xx" else 0
    return Count(total - bad, total)


def updates() -> Count:
    """On the screens of viewers; good is what was there in time."""
    total = sum(int(one.value) for one in _samples(LIVE_LATENCY, "_count") if one.labels["at"] == "paint")
    good = sum(
        int(one.value)
        for one in _samples(LIVE_LATENCY, "_bucket")
        if one.labels["at"] == "paint" and one.labels["le"] == WITHIN_S
    )
    return Count(good, total)


def _samples(metric: MetricWrapperBase, ending: str) -> Iterable[Sample]:
    """Of this process alone, also where several add up theirs."""
    return (sample for family in metric.collect() for sample in family.samples if sample.name.endswith(ending))
