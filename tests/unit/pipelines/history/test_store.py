"""Which points history keeps."""

import msgspec
from worker_process import point

from pipelines.history.store import select
from wire.metrics import Metric, ScopeUpdate, State


def test_windows_that_end_on_a_whole_minute_and_days_are_kept_in_their_newest_version() -> None:
    minute, slid = point(1), point(1, start_ms=1_768_471_210_000)
    newer = msgspec.structs.replace(minute, value=2.0)
    day = point(9, metric=Metric.EVENTS_BY_KIND, label="code_run")
    other_day = msgspec.structs.replace(day, label="page_viewed")
    updates = [
        ScopeUpdate(scope="course:c", points=[minute, slid, day]),
        ScopeUpdate(scope="course:d", points=[minute]),
        ScopeUpdate(scope="course:c", points=[newer, other_day]),
    ]
    assert sorted(select(updates), key=str) == sorted(
        [("course:c", newer), ("course:c", day), ("course:c", other_day), ("course:d", minute)], key=str
    )


def test_hours_are_kept_and_a_window_told_again_as_final_in_that_version() -> None:
    hour = point(4, metric=Metric.EVENTS_PER_HOUR)
    # Nothing has changed but the state: event time may even have stood still.
    final = msgspec.structs.replace(hour, state=State.FINAL, watermark_ms=hour.end_ms + 120_000)
    corrected = msgspec.structs.replace(final, value=5.0, n=5, state=State.CORRECTED)
    told = [hour, final, corrected]
    for number in range(1, len(told) + 1):
        updates = [ScopeUpdate(scope="school:all", points=[one]) for one in told[:number]]
        assert select(updates) == select([ScopeUpdate(scope="school:all", points=told[:number])])
        assert select(updates) == [("school:all", told[number - 1])]
