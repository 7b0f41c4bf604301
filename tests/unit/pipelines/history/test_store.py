"""Which points history keeps, and how a refused request is taken apart."""

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from worker_process import point

from pipelines.history.store import Row, StoreRefusedError, select, write_halving
from wire.metrics import Metric, ScopeUpdate


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


@given(number=st.integers(1, 200), bad=st.sets(st.integers(0, 199), max_size=5))
async def test_only_the_refused_rows_are_left_out(number: int, bad: set[int]) -> None:
    written: list[Row] = []

    async def request(rows: Sequence[Row]) -> None:
        if any(int(row[1].value) in bad for row in rows):
            raise StoreRefusedError("no")
        written.extend(rows)

    rows = [("course:c", point(n, minute=n)) for n in range(number)]
    await write_halving("test", rows, request)
    assert written == [row for n, row in enumerate(rows) if n not in bad]
