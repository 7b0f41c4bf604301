"""The roster against a real PostgreSQL: imported all or nothing, imported again, copied, and the command."""

import asyncio
from pathlib import Path

import pytest
from running import eventually
from typer.testing import CliRunner

from cli.roster import app
from gateway import roster, schema
from gateway.database import Database, DatabaseAwayError
from gateway.roster import RosterCopy
from gateway.roster_file import COLUMNS, Row
from producers import school
from stack import ports

ROWS = [
    Row("s1", "佐藤 陽菜", "py101", "Python", "t1", "Team 1"),
    Row("s1", "佐藤 陽菜", "ds201", "Data", None, None),
    Row("s2", "Kim", "py101", "Python", "t2", "Team 2"),
]


async def test_what_is_stored_is_read(database: Database) -> None:
    await roster.store(database, ROWS)
    held = await roster.read(database)
    assert held.courses == {"py101": "Python", "ds201": "Data"}
    assert held.teams == {("py101", "t1"): "Team 1", ("py101", "t2"): "Team 2"}
    assert held.students == {"s1": "佐藤 陽菜", "s2": "Kim"}
    assert held.enrolments == {("py101", "s1"): "t1", ("ds201", "s1"): None, ("py101", "s2"): "t2"}
    assert (held.team_of("py101", "s1"), held.team_of("ds201", "s1"), held.team_of("x", "s1")) == ("t1", None, None)
    assert (held.has("ds201", "s1"), held.has("ds201", "s2")) == (True, False)


async def test_an_import_updates_what_it_names_and_leaves_the_rest(database: Database) -> None:
    await roster.store(database, ROWS)
    await roster.store(database, [Row("s1", "Sato Hina", "py101", "Python II", "t2", "Team Two")])
    held = await roster.read(database)
    assert held.courses["py101"] == "Python II"
    assert held.teams["py101", "t2"] == "Team Two"
    assert held.students == {"s1": "Sato Hina", "s2": "Kim"}
    assert held.enrolments == {("py101", "s1"): "t2", ("ds201", "s1"): None, ("py101", "s2"): "t2"}


async def test_an_import_that_fails_half_way_changes_nothing(database: Database) -> None:
    await roster.store(database, ROWS[:1])
    await database.fetch("ALTER TABLE enrolments ADD CHECK (student_id <> 's2')")
    with pytest.raises(Exception, match="check constraint"):
        await roster.store(database, ROWS)
    assert (await roster.read(database)).students == {"s1": "佐藤 陽菜"}


async def test_imports_at_once_do_not_wait_for_each_other_for_ever(database: Database) -> None:
    def members(course: str, numbers: range) -> list[Row]:
        return [Row(f"s{n}", "N", course, "C", None, None) for n in numbers]

    one, other = members("one", range(3_000)), members("other", range(3_000)[::-1])
    for _ in range(5):  # the same students, in one order and the other
        await asyncio.gather(roster.store(database, one), roster.store(database, other))
    assert len((await roster.read(database)).enrolments) == 6_000


async def test_the_copy_is_there_when_postgresql_is(postgres_url: str) -> None:
    database = Database(postgres_url)
    copy = RosterCopy(database)
    await database.start()
    await copy.start()
    with pytest.raises(DatabaseAwayError, match="not been read yet"):
        _ = copy.roster
    await schema.migrate(postgres_url)  # until now its tables were missing
    await roster.store(database, ROWS)

    async def read() -> bool:
        try:
            return "s2" in copy.roster.students
        except DatabaseAwayError:
            return False

    await eventually(read, 10, "the roster is read")
    await database.stop()
    assert copy.roster.has("py101", "s2")  # the last one read goes on serving
    await copy.stop()


@pytest.fixture
async def migrated_url(postgres_url: str) -> str:
    await schema.migrate(postgres_url)
    return postgres_url


def test_the_command_imports_the_demo_school_twice(migrated_url: str, tmp_path: Path) -> None:
    lines = [",".join(getattr(member, column) for column in COLUMNS) for member in school.roster(153)]
    file = tmp_path / "roster.csv"
    file.write_text("\n".join([",".join(COLUMNS), *lines]), encoding="utf-8-sig")
    for _ in range(2):
        result = CliRunner().invoke(app, ["import", str(file), "--postgres", migrated_url])
        assert (result.exit_code, result.output) == (0, "imported 153 students, 27 teams, 3 courses\n")
    shown = CliRunner().invoke(app, ["show", "--postgres", migrated_url])
    assert shown.exit_code == 0
    assert "py101" in shown.output
    assert shown.output.endswith("153 students in all\n")


def test_the_command_tells_each_problem_with_its_line_and_imports_nothing(migrated_url: str, tmp_path: Path) -> None:
    file = tmp_path / "roster.csv"
    file.write_text(f"{','.join(COLUMNS)}\ns1,N,c,C,,\n,N,c,C,,\ns1,M,c,C,,\n")
    result = CliRunner().invoke(app, ["import", str(file), "--postgres", migrated_url])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{file}: line 3: student_id: is empty",
        f"{file}: line 4: student_id: s1 is in course c already, on line 2",
        f"{file}: line 4: student_name: 'M', but 'N' on line 2",
        "Nothing was imported.",
    ]
    assert CliRunner().invoke(app, ["show", "--postgres", migrated_url]).output.endswith("0 students in all\n")


def test_the_command_takes_an_encoding_it_is_told(migrated_url: str, tmp_path: Path) -> None:
    file = tmp_path / "roster.csv"
    file.write_text(f"{','.join(COLUMNS)}\ns1,佐藤,c,C,,\n", encoding="cp932")
    command = ["import", str(file), "--postgres", migrated_url]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "line 2: not utf-8" in refused.output) == (1, True)
    assert CliRunner().invoke(app, [*command, "--encoding", "cp932"]).exit_code == 0
    assert CliRunner().invoke(app, [*command, "--encoding", "klingon"]).exit_code == 2


def test_the_command_says_what_it_cannot_read_and_whom_it_cannot_reach(tmp_path: Path) -> None:
    nowhere = f"postgresql://127.0.0.1:{ports.free()}/d"
    missing = CliRunner().invoke(app, ["import", str(tmp_path / "no.csv"), "--postgres", nowhere])
    assert (missing.exit_code, "cannot be read: No such file" in missing.output) == (2, True)
    away = CliRunner().invoke(app, ["show", "--postgres", nowhere, "--wait", "0"])
    assert (away.exit_code, "waited 0 s" in away.output) == (2, True)
