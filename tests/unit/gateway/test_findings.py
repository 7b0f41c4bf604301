"""What health tells of probes and of workers."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway import findings
from gateway.canary import Round
from wire.workers import Heartbeat

NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
BEAT = Heartbeat(
    worker_id="live-here-1", app="live", version="1", pid=1, web_port=6067, started_at_ms=1, sent_at_ms=1_000,
    partitions={}, events_handled=7, last_progress_ms=None, lag_records=3, loop_lag_ms=0.1, ready=True, reason="",
)  # fmt: skip


def told(found: Round) -> dict[str, Any]:
    return {
        name: (check.status, check.observed_value, check.output)
        for name, (check,) in findings.of_probe(found, NOW).items()
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Round(5, 2.5, 0.25, ""), {"probe:age": ("pass", 2.5, None), "probe:latency": ("pass", 250.0, None)}),
        (Round(5, 4.0, None, ""), {"probe:age": ("pass", 4.0, None)}),
        (Round(5, 40.0, None, ""), {"probe:age": ("warn", 40.0, "none has come back for 40 s")}),
        (
            Round(5, 40.0, 0.25, "Kafka is not connected"),
            {
                "probe:age": ("warn", 40.0, "none has come back for 40 s; Kafka is not connected"),
                "probe:latency": ("warn", 250.0, None),
            },
        ),
    ],
)
def test_of_probes(found: Round, expected: dict[str, Any]) -> None:
    assert told(found) == expected


def test_each_worker_of_a_pipeline_has_a_check_and_none_is_one_that_failed() -> None:
    idle = msgspec.structs.replace(BEAT, worker_id="live-here-2", ready=False, reason="recovering its tables")
    ready, waiting = findings.of_workers("live", [BEAT, idle], NOW)
    assert (ready.component_id, ready.status, ready.observed_value, ready.output) == ("live-here-1", "pass", 3, None)
    assert (waiting.status, waiting.output) == ("warn", "recovering its tables")
    (none,) = findings.of_workers("history", [BEAT, idle], NOW)
    assert (none.component_id, none.status, none.output) == ("history", "fail", "there is no worker")


def test_the_members_are_named_as_the_draft_has_them() -> None:
    (check,) = findings.of_workers("live", [BEAT], NOW)
    assert {"componentId", "componentType", "observedValue", "observedUnit", "status", "time"} <= set(
        check.model_dump(by_alias=True)
    )
