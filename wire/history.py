"""Where a metric point lies in the history stores, the same names for who writes and who reads.

InfluxDB: measurement = metric; tags `scope`, `label` (only where there is one); fields `value`, `n`, `as_of_ms`;
time = window start, milliseconds. PostgreSQL: one row in TABLE, keyed the same way. Either way a second write of the
same window replaces the first.
"""

import re

from wire.metrics import MetricPoint

TABLE = "history_points"  # scope, metric, label, start_ms (the primary key), window_s, value, n, as_of_ms

_TAG_SPECIAL = re.compile(r"([,= ])")


def _tag(value: str) -> str:
    # influxd keeps a doubled backslash as two, so backslashes stay as they are; `wire.events` lets none end an id,
    # where it would swallow the separator behind it.
    return _TAG_SPECIAL.sub(r"\\\1", value)


def line(scope: str, point: MetricPoint) -> str:
    """Line protocol, millisecond precision (https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/)."""
    label = f",label={_tag(point.label)}" if point.label else ""
    fields = f"value={point.value!r},n={point.n}i,as_of_ms={point.as_of_ms}i,window_s={point.window_s}i"
    return f"{point.metric},scope={_tag(scope)}{label} {fields} {point.start_ms}"
