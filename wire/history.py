"""Where a metric point lies in the history stores, the same names for who writes and who reads.

InfluxDB: measurement = metric; tags `scope`, `label` (only where there is one); fields `value`, `n`, `as_of_ms`,
`window_s`, `state`, `watermark_ms`; time = window start, milliseconds. PostgreSQL: one row in TABLE, keyed the same
way. Either way a second write of the same window replaces the first. What was written before there were states has
neither `state` nor `watermark_ms`: it reads as provisional, and no watermark is known.
"""

import re

from wire.metrics import MetricPoint

# scope, metric, label, start_ms (the primary key), window_s, value, n, as_of_ms, state, watermark_ms
TABLE = "history_points"

_TAG_SPECIAL = re.compile(r"([,= ])")


def _tag(value: str) -> str:
    # influxd keeps a doubled backslash as two, so backslashes stay as they are; `wire.events` lets none end an id,
    # where it would swallow the separator behind it.
    return _TAG_SPECIAL.sub(r"\\\1", value)


def line(scope: str, point: MetricPoint) -> str:
    """Line protocol, millisecond precision (https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/)."""
    label = f",label={_tag(point.label)}" if point.label else ""
    # Every field every time: one that is left out would keep what an earlier write of the window said.
    fields = (
        f"value={point.value!r},n={point.n}i,as_of_ms={point.as_of_ms}i,window_s={point.window_s}i,"
        f'state="{point.state}",watermark_ms={point.watermark_ms}i'
    )
    return f"{point.metric},scope={_tag(scope)}{label} {fields} {point.start_ms}"
