"""Bad records are found by halves; good ones go through once, in order."""

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from recorded import Line

from batching.bisect import bisect
from batching.records import Batch, Record


@given(st.lists(st.booleans(), min_size=1, max_size=40))
async def test_each_record_goes_one_way_once(good: list[bool]) -> None:
    records: list[Record] = [Line(offset, value=b"good" if is_good else b"bad") for offset, is_good in enumerate(good)]
    done: list[int] = []
    buried: list[int] = []

    def work(part: list[Record]) -> None:
        if any(record.value == b"bad" for record in part):
            raise ValueError("bad")
        done.extend(record.offset for record in part)

    async def bury(record: Record, error: Exception) -> None:
        assert str(error) == "bad"
        buried.append(record.offset)

    await bisect(Batch(TP("a", 0), records, len(records), 0), work, bury, ValueError)  # type: ignore[arg-type]
    assert done == [offset for offset, is_good in enumerate(good) if is_good]
    assert buried == [offset for offset, is_good in enumerate(good) if not is_good]


async def test_what_is_nobody_s_fault_here_is_passed_on() -> None:
    async def work(_: object) -> None:
        raise ConnectionError("away")

    def bury(record: Record, _: Exception) -> None:
        raise AssertionError(record)

    with pytest.raises(ConnectionError):
        await bisect(Batch(TP("a", 0), [Line(0)], 1, 0), work, bury, ValueError)
