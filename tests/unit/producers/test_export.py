"""Files of xAPI statements, whole and damaged."""

import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from producers import export

T0 = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


def statement(number: int, at_s: float | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "actor": {"account": {"name": f"s{number % 3}", "homePage": "https://lms.example"}},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/answered"},
        "object": {"id": "https://lms.example/q"},
        "timestamp": (T0 + timedelta(seconds=number if at_s is None else at_s)).isoformat(),
    } | fields


def lines(statements: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in statements)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export"


def loaded(file: Path, data: bytes, *, sort: bool = True) -> export.Export:
    file.write_bytes(data)
    return export.load(file, "py101", sort=sort)


def numbers(found: export.Export) -> list[int]:
    return [int(event["event_id"][-12:]) for event in found.events]


STATEMENTS = [statement(number) for number in range(5)]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "data",
    [
        lines(STATEMENTS),
        lines(STATEMENTS).rstrip(b"\n"),
        lines(STATEMENTS).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + lines(STATEMENTS),
        b"\n\n" + lines(STATEMENTS).replace(b"\n", b"\n  \n"),
        json.dumps(STATEMENTS).encode(),
        b"\xef\xbb\xbf \n" + json.dumps(STATEMENTS, indent=2).encode(),
    ],
    ids=["lines", "no end", "crlf", "bom", "blank lines", "array", "indented array"],
)
def test_lines_and_arrays_plain_and_packed_say_the_same(file: Path, data: bytes, packed: bool) -> None:
    found = loaded(file, gzip.compress(data) if packed else data)
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert (found.problems, found.duplicates) == ([], 0)
    assert {event["course_id"] for event in found.events} == {"py101"}


def test_two_packed_parts_one_behind_the_other_are_both_read(file: Path) -> None:
    found = loaded(file, gzip.compress(lines(STATEMENTS[:2])) + gzip.compress(lines(STATEMENTS[2:])))
    assert numbers(found) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("data", [b"", b"\n \n", b"[]", gzip.compress(b"", mtime=0)])
def test_an_empty_file_holds_nothing(file: Path, data: bytes) -> None:
    assert loaded(file, data) == export.Export()


def test_by_time_unless_told_otherwise_and_what_happened_at_once_stays_in_order(file: Path) -> None:
    #  number    0  1  2  3  4  5     second    9  2  2  7  2  0
    statements = [statement(number, at_s) for number, at_s in enumerate([9, 2, 2, 7, 2, 0])]
    assert numbers(loaded(file, lines(statements))) == [5, 1, 2, 4, 3, 0]
    assert numbers(loaded(file, lines(statements), sort=False)) == [0, 1, 2, 3, 4, 5]


def test_times_are_compared_and_not_their_text(file: Path) -> None:
    at = ["2026-01-15T09:30:00+09:00", "2026-01-15T01:00:00Z", "2026-01-14T23:00:00-01:00"]
    statements = [statement(number, timestamp=text) for number, text in enumerate(at)]
    assert numbers(loaded(file, lines(statements))) == [2, 0, 1]


def test_a_statement_sent_twice_is_one_and_is_counted(file: Path) -> None:
    statements = STATEMENTS + STATEMENTS[1:3]
    random.Random(1).shuffle(statements)
    found = loaded(file, lines(statements))
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert found.duplicates == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"actor": "\xff"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"null", "not an object"),
        (json.dumps(statement(9, timestamp="yesterday")).encode(), "'yesterday' is no RFC 3339 time"),
        (json.dumps(statement(9, timestamp="2026-01-15T09:30:00")).encode(), "has no offset"),
        (json.dumps(statement(9, timestamp="2026-02-30T09:30:00Z")).encode(), "is no RFC 3339 time"),
        (json.dumps(statement(9, actor={})).encode(), "actor"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_others_are_read(file: Path, line: bytes, reason: str) -> None:
    found = loaded(file, lines(STATEMENTS[:2]) + b"\n" + line + b"\n" + lines(STATEMENTS[2:]))
    assert numbers(found) == [0, 1, 2, 3, 4]
    ((number, told),) = [(problem.line, problem.reason) for problem in found.problems]
    assert number == 4
    assert reason in told


def test_a_bad_element_of_an_array_is_told_with_its_number(file: Path) -> None:
    found = loaded(file, json.dumps([*STATEMENTS[:1], 7, *STATEMENTS[1:]]).encode())
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert [problem.line for problem in found.problems] == [2]


@pytest.mark.parametrize("data", [b"[1, 2", b"[{}] behind", b"[" * 100_000])
def test_an_array_that_is_none_is_one_problem(file: Path, data: bytes) -> None:
    found = loaded(file, data)
    assert found.events == []
    assert [problem.line for problem in found.problems] == [1]
    assert "begins as a JSON array but is none" in found.problems[0].reason


def test_a_packed_file_cut_off_or_damaged_raises_what_the_command_catches(file: Path) -> None:
    whole = gzip.compress(lines([statement(number) for number in range(500)]))
    with pytest.raises(EOFError):
        loaded(file, whole[:-20])
    for at in range(12, len(whole), 97):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        with pytest.raises((OSError, EOFError)):
            loaded(file, bytes(damaged))


def test_a_file_that_is_not_there_raises_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        export.load(tmp_path / "nowhere", "c", sort=True)


def test_shifted_events_are_others_at_another_time_the_same_for_the_same_shift(file: Path) -> None:
    events = loaded(file, lines(STATEMENTS)).events
    by = timedelta(days=30)
    moved = export.shifted(events, by)
    assert [at - was for at, was in zip(export.times(moved), export.times(events), strict=True)] == [by] * 5
    assert not {event["event_id"] for event in moved} & {event["event_id"] for event in events}
    assert export.shifted(events, by) == moved
    assert {event["event_id"] for event in export.shifted(events, by * 2)}.isdisjoint(
        event["event_id"] for event in moved
    )
    rest = [{k: v for k, v in event.items() if k not in ("event_id", "occurred_at")} for event in (*events, *moved)]
    assert rest[:5] == rest[5:]
