"""A table's partition: a dictionary that knows what the next flush has to write."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import Line

from batching.tables import POSITION, WriteBehindTable, position_record

Table = WriteBehindTable[str, int]


def table(keeps: bool = True) -> Table:
    fresh: Table = WriteBehindTable(
        "t", "app-t-changelog", "source", str, msgspec.json.encode, msgspec.json.Decoder(int).decode, keeps
    )
    fresh.reset(0)
    return fresh


def test_only_what_changed_is_written_and_only_once() -> None:
    it = table()
    part = it.partition(0)
    part["a"] = 1
    part["a"] = 2
    part["b"] = 3
    part.update(c=4)
    assert (it.pending(0), dict(it.changes(0))) == (3, {b"a": b"2", b"b": b"3", b"c": b"4"})
    assert (it.pending(0), dict(it.changes(0))) == (0, {})
    del part["b"]
    assert part.pop("c") == 4
    part.data["a"] = 9
    part.touch(["a"])
    assert dict(it.changes(0)) == {b"a": b"9", b"b": None, b"c": None}
    assert dict(part) == {"a": 9}


def test_a_change_while_the_changes_are_read_is_the_next_flush_s() -> None:
    it = table()
    it.partition(0)["a"] = 1
    reading = it.changes(0)
    assert next(reading) == (b"a", b"1")
    it.partition(0)["a"] = 2
    assert list(reading) == []
    assert dict(it.changes(0)) == {b"a": b"2"}


def test_who_holds_all_of_it_himself_takes_what_was_restored_and_what_is_flushed_is_gone() -> None:
    it = table(keeps=False)
    it.restore(0, [Line(0, 0, b"a", b"1"), Line(1, 0, b"b", b"2"), Line(2, 0, b"c", b"3")])
    assert it.partition(0).taken() == {"a": 1, "b": 2, "c": 3}
    assert dict(it.partition(0)) == {}
    it.partition(0).put({"a": 5, "b": None, "d": 6})
    it.partition(0).put({"d": None, "e": 7})
    assert dict(it.changes(0)) == {b"a": b"5", b"b": None, b"d": None, b"e": b"7"}
    assert (dict(it.partition(0)), dict(it.changes(0))) == ({}, {})
    it.partition(0).put({"a": 1, "b": 1})
    reading = it.changes(0)
    assert next(reading) == (b"a", b"1")
    it.partition(0).put({"b": 2})
    assert (list(reading), dict(it.changes(0))) == ([(b"b", b"1")], {b"b": b"2"})


def test_a_partition_that_is_not_ours() -> None:
    it = table()
    it.drop(0)
    with pytest.raises(KeyError):
        it.partition(0)


@pytest.mark.parametrize("key", [POSITION.decode(), None])
def test_keys_that_may_not_be(key: Any) -> None:
    it = table()
    it.partition(0)[key] = 1
    with pytest.raises(ValueError, match="may not have the key"):
        list(it.changes(0))


@given(st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 9)), max_size=8), max_size=8))
def test_a_restored_table_is_as_it_was(flushes: list[list[tuple[str, int | None]]]) -> None:
    """Over any changes in any flushes, restored in stretches that do not go by flushes."""
    it = table()
    log: list[tuple[bytes, bytes | None]] = []
    for number, changes in enumerate(flushes):
        for key, value in changes:
            if value is None:
                it.partition(0).pop(key, None)
            else:
                it.partition(0)[key] = value
        log += it.changes(0)
        log.append((POSITION, position_record({"source": number})))
    other = table()
    told: dict[str, int] = {}
    for start in range(0, len(log), 3):
        told |= other.restore(0, [Line(0, 0, key, value) for key, value in log[start : start + 3]])
    assert other.partition(0).data == it.partition(0).data
    assert other.pending(0) == 0
    assert told == ({"source": len(flushes) - 1} if flushes else {})
