"""The windows that an event counts in: all that hold it, and what the aggregate tells of them."""

from typing import Any

import pytest
from classroom import BOUNDS, GRACE_MS, NOON_MS, Pipeline, event
from classroom import records as records_of
from hypothesis import given
from hypothesis import strategies as st
from letters import an_event

from gateway.admin.windows import Span, windows_of
from pipelines.aggregate.folded import FoldedPartition
from pipelines.aggregate.marker import Marker
from wire.events import Kind
from wire.metrics import DAY_S, WINDOW_S, Metric

STANDING = {
    Metric.PRESENT_STUDENTS, Metric.IDLE_STUDENTS, Metric.STRUGGLING_STUDENTS, Metric.HELP_REQUESTS_OPEN,
    Metric.LONGEST_WAIT_S,
}  # fmt: skip


@given(at_ms=st.integers(0, 4_000_000_000_000))
def test_the_windows_are_all_that_end_on_a_whole_minute_and_hold_it(at_ms: int) -> None:
    """Of hours and days only the calendar's."""
    starts = {span.window_s: span.starts_ms for span in windows_of(an_event(occurred_at_ms=at_ms))}
    assert set(starts) == set(WINDOW_S.values())
    for window_s, found in starts.items():
        step_ms = window_s * 1000 if window_s >= 3_600 else 60_000
        nearby = range(at_ms // step_ms * step_ms - 10 * step_ms, at_ms + 10 * step_ms, step_ms)
        assert found == [start_ms for start_ms in nearby if start_ms <= at_ms < start_ms + window_s * 1000]


@pytest.mark.parametrize("team", ["t1", None])
@given(at_s=st.integers(0, 1_800))
def test_they_hold_what_the_aggregate_tells_of_an_event_with_everything(team: str | None, at_s: int) -> None:
    """In the company of a team-mate; half an hour later another event tells the windows that slide to be over."""
    full: dict[str, Any] = {"team_id": team, "task_id": "a", "score": 0.5, "success": False}
    mine = event("s1", at_s, Kind.ANSWER_SUBMITTED, **full)
    happened = [mine, event("s2", at_s, **full), event("s3", at_s + 1_800, course_id="other")]
    pipeline = Pipeline()
    pipeline.folds[0].fold(records_of(happened))
    pipeline.tell()
    alone = FoldedPartition(Marker(0), BOUNDS, GRACE_MS, {}, {}, 0)
    alone.read(0, alone.fold.fold(records_of(happened)), len(happened))
    list(alone.to_merge())
    told = [*pipeline.told, *((update.scope, point) for update in alone.of_students() for point in update.points)]

    scopes = {"student:s1", "course:py101", "school:all"} | ({"team:py101/t1"} if team else set())
    holding = {
        (scope, point.start_ms, point.window_s, point.metric)
        for scope, point in told
        if scope in scopes and point.metric not in STANDING and point.end_ms % 60_000 == 0
        and point.start_ms <= mine.occurred_at_ms < point.end_ms
    }  # fmt: skip
    assert {
        (scope, start_ms, span.window_s, metric)
        for span in windows_of(mine)
        for start_ms in span.starts_ms
        for scope, metrics in span.metrics.items()
        for metric in metrics
    } == holding


def test_of_a_student_no_hours_are_told() -> None:
    spans = windows_of(an_event(student_id="s1", course_id="c", occurred_at_ms=NOON_MS + 61_000))
    assert spans[0] == Span(
        60, [NOON_MS + 60_000], {of: [Metric.EVENTS_PER_MINUTE] for of in ("student:s1", "course:c", "school:all")}
    )
    assert spans[1].starts_ms == [NOON_MS + 60_000 * minute for minute in (-3, -2, -1, 0, 1)]
    assert set(spans[2].metrics) == {"course:c", "school:all"}
    assert spans[3].window_s == DAY_S
