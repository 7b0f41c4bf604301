"""The hot loop that ours and raw aiokafka share, against a count by other means."""

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bench.contestants.counting import PANE_MS, Fresh


class Record(msgspec.Struct):
    value: bytes


_seen = st.tuples(st.sampled_from(["s1", "s2", "s3"]), st.integers(0, 5 * PANE_MS))


@given(st.lists(st.lists(_seen)))
def test_what_is_taken_adds_up_to_what_was_seen(batches: list[list[tuple[str, int]]]) -> None:
    fresh, taken = Fresh(), Counter[bytes]()
    for number, batch in enumerate(batches):
        fresh.count(Record(msgspec.json.encode({"student_id": id_, "at_ms": at_ms, "more": 1})) for id_, at_ms in batch)
        if number % 2:  # a commit now and then
            waiting = fresh.pending()
            news = fresh.take()
            assert waiting == sum(events for _, events in news)
            assert fresh.pending() == 0
            assert len({key for key, _ in news}) == len(news)
            taken.update(dict(news))
    taken.update(dict(fresh.take()))
    expected = Counter(f"{id_}@{at_ms // PANE_MS}".encode() for batch in batches for id_, at_ms in batch)
    assert taken == expected
