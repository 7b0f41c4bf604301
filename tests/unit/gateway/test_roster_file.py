"""The roster's CSV file: what it may look like, and each thing that can be wrong with it, with line and field."""

import contextlib
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.roster_file import COLUMNS, PROBLEMS_MAX, Problem, RosterFileError, Row, parse

HEADER = ",".join(COLUMNS)
ROW = "s1,佐藤 陽菜,py101,Python,t1,Team 1"


def problems(*lines: str) -> list[Problem]:
    with pytest.raises(RosterFileError) as refused:
        parse("\n".join([HEADER, *lines]).encode())
    return list(refused.value.problems)


def test_a_row_is_a_student_in_a_course() -> None:
    assert parse(f"{HEADER}\n{ROW}\ns2,Kim, ds201 ,Data,,\n".encode()) == [
        Row("s1", "佐藤 陽菜", "py101", "Python", "t1", "Team 1"),
        Row("s2", "Kim", "ds201", "Data", None, None),
    ]


def test_columns_may_come_in_any_order_and_empty_lines_are_passed_over() -> None:
    text = "team_name,team_id,student_name,student_id,course_name,course_id\r\n,,\r\n,,,,,\r\nT,t1,N,s1,C,c1\r\n"
    with pytest.raises(RosterFileError):
        parse(text.replace(",,,,,", "x,,").encode())
    assert parse(text.encode()) == [Row("s1", "N", "c1", "C", "t1", "T")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_tells_the_encoding(encoding: str) -> None:
    assert parse(f"{HEADER}\n{ROW}".encode(encoding))[0].student_name == "佐藤 陽菜"


def test_an_encoding_is_named_not_guessed() -> None:
    data = f"{HEADER}\n{ROW}".encode("cp932")
    with pytest.raises(RosterFileError, match="line 2: not utf-8"):
        parse(data)
    assert parse(data, "cp932")[0].student_name == "佐藤 陽菜"


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        (",N,c,C,,", "student_id", "is empty"),
        ("s,N,c,,,", "course_name", "is empty"),
        ("s,N,c,C,t,", "team_name", "is empty, but team_id is not"),
        ("s,N,c,C,,T", "team_id", "is empty, but team_name is not"),
        ("s,N,c,C,a/b,T", "team_id", "no slash"),
        (f"{'s' * 129},N,c,C,,", "student_id", "1 to 128 characters"),
        (f"s,{'N' * 201},c,C,,", "student_name", "1 to 200 characters"),
        ("s\x01s,N,c,C,,", "student_id", "no control characters"),
        ('s,"N\nN",c,C,,', "student_name", "no control characters"),
        ("s,N,c", None, "3 cells where the header has 6"),
        ('s,"N"N,c,C,,', None, "not CSV"),
        ('s,"N', None, "not CSV"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_field(row: str, field: str | None, reason: str) -> None:
    ((line, named, told),) = problems(ROW, row)
    assert line == 3 + row.count("\n")
    assert named == field
    assert reason in told


def test_rows_that_contradict_each_other_are_told_with_both_lines() -> None:
    assert problems(ROW, "s1,Other,py101,Python 2,t1,Team One", "s2,Kim,py101,Python,t1,Team 1") == [
        (3, "student_id", "s1 is in course py101 already, on line 2"),
        (3, "student_name", "'Other', but '佐藤 陽菜' on line 2"),
        (3, "course_name", "'Python 2', but 'Python' on line 2"),
        (3, "team_name", "'Team One', but 'Team 1' on line 2"),
    ]


def test_a_student_may_be_in_several_courses_and_a_team_id_in_several_too() -> None:
    assert len(parse(f"{HEADER}\n{ROW}\ns1,佐藤 陽菜,ds201,Data,t1,Another\n".encode())) == 2


@pytest.mark.parametrize("text", ["", "\n", HEADER, "student_id;student_name", "<html>", f"{HEADER},extra\n", "\0"])
def test_a_file_that_is_no_roster_is_refused(text: str) -> None:
    with pytest.raises(RosterFileError, match="line 1: "):
        parse(text.encode())


def test_problems_are_told_up_to_a_bound() -> None:
    assert len(problems(*["x"] * 1000)) == PROBLEMS_MAX


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_problems(data: bytes) -> None:
    for body in (data, HEADER.encode() + b"\n" + data):
        with contextlib.suppress(RosterFileError):
            assert parse(body)


CELL = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)


@given(st.dictionaries(CELL, st.tuples(CELL, CELL), min_size=1, max_size=8))
def test_what_is_written_is_read(students: dict[str, tuple[str, str]]) -> None:
    rows = [Row(student, name, "c", "C", team, f"Team {team}") for student, (name, team) in students.items()]
    out = io.StringIO()
    csv.writer(out).writerows([COLUMNS, *([getattr(row, column) for column in COLUMNS] for row in rows)])
    assert parse(out.getvalue().encode()) == rows
