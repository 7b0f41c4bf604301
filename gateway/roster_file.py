"""The CSV file a roster comes from. Pure: bytes to rows, or to what is wrong with them."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from wire.events import ID_MAX, Id, TeamId

NAME_MAX = 200  # characters
ROWS_MAX = 200_000  # a university; more is another file
BYTES_MAX = 64 * 2**20  # ROWS_MAX rows of more than 300 bytes
PROBLEMS_MAX = 100  # told; a file that is wrong in each line needs no more

Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX, pattern=r"^[^\x00-\x1f\x7f]+\Z")]


class Row(msgspec.Struct, frozen=True):
    """One line of the file: a student in a course. Without a team both team fields are empty."""

    student_id: Id
    student_name: Name
    course_id: Id
    course_name: Name
    team_id: TeamId | None
    team_name: Name | None


COLUMNS = Row.__struct_fields__


class Problem(NamedTuple):
    line: int  # from 1, as an editor counts
    field: str | None
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.reason}" if self.field else f"line {self.line}: {self.reason}"


class RosterFileError(Exception):
    """The file cannot be used, so nothing of it was. At most PROBLEMS_MAX problems, in order of their lines."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def parse(data: bytes, encoding: str | None = None) -> list[Row]:
    """The rows of a CSV file. `encoding`: None takes UTF-8, or what a byte order mark says. Raises RosterFileError."""
    lines = csv.reader(io.StringIO(_text(data, encoding), newline=""), strict=True)
    rows: list[Row] = []
    problems: list[Problem] = []
    once = _Once()
    try:
        places = _places(next(lines, []))
        for cells in lines:
            if not any(map(str.strip, cells)):
                continue
            if len(rows) == ROWS_MAX:
                raise RosterFileError([Problem(lines.line_num, None, f"more than {ROWS_MAX:,} rows")])
            found = _row(cells, places)
            if isinstance(found, Row):
                problems += (Problem(lines.line_num, *wrong) for wrong in once.conflicts(found, lines.line_num))
                rows.append(found)
            else:
                problems.append(Problem(lines.line_num, *found))
            if len(problems) >= PROBLEMS_MAX:
                break
    except csv.Error as error:
        problems.append(Problem(lines.line_num, None, f"not CSV: {error}"))
    if problems:
        raise RosterFileError(problems[:PROBLEMS_MAX])
    if not rows:
        raise RosterFileError([Problem(1, None, "no student in it")])
    return rows


def _text(data: bytes, encoding: str | None) -> str:
    if encoding is None:
        utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        encoding = "utf-16" if utf_16 else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeError as error:
        # Not guessed: every byte is some letter in some encoding, and wrong names would be imported without a word.
        line = data[: getattr(error, "start", 0)].count(b"\n") + 1
        reason = f"not {encoding.removesuffix('-sig')}: name the encoding it is in (Excel in Japan: cp932)"
        raise RosterFileError([Problem(line, None, reason)]) from None


def _places(header: list[str]) -> dict[str, int]:
    """Column → where its cell is."""
    names = [cell.strip() for cell in header]
    if sorted(names) != sorted(COLUMNS):
        reason = f"expected the columns {','.join(COLUMNS)} in any order, got {','.join(names) or 'nothing'}"
        raise RosterFileError([Problem(1, None, reason)])
    return {name: names.index(name) for name in COLUMNS}


def _row(cells: list[str], places: Mapping[str, int]) -> Row | tuple[str | None, str]:
    """The row, or the field that is wrong and why."""
    if len(cells) != len(places):
        return None, f"{len(cells)} cells where the header has {len(places)}"
    values = {name: cells[place].strip() or None for name, place in places.items()}
    for name, value in values.items():
        if value is None and not name.startswith("team_"):
            return name, "is empty"
    for one, other in (("team_id", "team_name"), ("team_name", "team_id")):
        if values[one] is None and values[other] is not None:
            return one, f"is empty, but {other} is not"
    try:
        return msgspec.convert(values, Row)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("`$.")[2].rstrip("`")
        limit = NAME_MAX if field.endswith("_name") else ID_MAX
        return (
            field,
            f"{values[field]!r}: expected 1 to {limit} characters, no control characters, no backslash at "
            + ("its end, no slash" if field == "team_id" else "its end"),
        )


class _Once:
    """What the lines so far have said, so that another line does not say otherwise."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, ...], tuple[str, int]] = {}

    def conflicts(self, row: Row, line: int) -> Iterator[tuple[str, str]]:
        """Field and reason of each."""
        enrolled = ("enrolment", row.course_id, row.student_id)
        if enrolled in self._said:
            yield (
                "student_id",
                f"{row.student_id} is in course {row.course_id} already, on line {self._said[enrolled][1]}",
            )
        self._said.setdefault(enrolled, ("", line))
        names = [("student_name", row.student_name, row.student_id), ("course_name", row.course_name, row.course_id)]
        for field, name, *ids in [*names, ("team_name", row.team_name or "", row.course_id, row.team_id or "")]:
            was, at = self._said.setdefault((field, *ids), (name, line))
            if was != name:
                yield field, f"{name!r}, but {was!r} on line {at}"
