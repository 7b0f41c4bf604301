"""Who is in which course and team, by name: the only SQL of it, and the gateway's copy in memory."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from gateway.database import Connection, Database, DatabaseAwayError
from gateway.ending import ended
from gateway.roster_file import Row

log = structlog.get_logger(__name__)

REFRESH_S = 10.0  # how long a student just imported may still look like a stranger


@dataclass(frozen=True)
class Roster:
    """All of it as of one moment. Ids → names; a team's id is unique only within its course."""

    courses: Mapping[str, str]
    teams: Mapping[tuple[str, str], str]  # (course, team) → name
    students: Mapping[str, str]
    enrolments: Mapping[tuple[str, str], str | None]  # (course, student) → team

    def has(self, course_id: str, student_id: str) -> bool:
        """Whether the student is in that course."""
        return (course_id, student_id) in self.enrolments

    def team_of(self, course_id: str, student_id: str) -> str | None:
        """None: in no team of that course, or not in it at all."""
        return self.enrolments.get((course_id, student_id))


async def read(database: Database) -> Roster:
    """Everything, as of one moment. Raises DatabaseAwayError."""
    async with database.transaction(readonly=True) as connection:
        courses = await connection.fetch("SELECT course_id, name FROM courses")
        teams = await connection.fetch("SELECT course_id, team_id, name FROM teams")
        students = await connection.fetch("SELECT student_id, name FROM students")
        enrolments = await connection.fetch("SELECT course_id, student_id, team_id FROM enrolments")
    return Roster(
        dict(map(tuple, courses)),
        {(course, team): name for course, team, name in teams},
        dict(map(tuple, students)),
        {(course, student): team for course, student, team in enrolments},
    )


async def store(database: Database, rows: Iterable[Row]) -> None:
    """Adds what is new and updates what is there, all or nothing; whom `rows` does not name stays as he is.

    Raises DatabaseAwayError.
    """
    rows = list(rows)
    teams = {(row.course_id, row.team_id): row.team_name for row in rows if row.team_id is not None}
    async with database.transaction() as connection:
        # Two imports at once would wait for each other's rows in a circle: the second waits here for the first.
        await connection.execute("LOCK TABLE courses IN SHARE ROW EXCLUSIVE MODE")
        await connection.execute(_COURSES, *_columns({row.course_id: row.course_name for row in rows}.items(), 2))
        await connection.execute(_TEAMS, *_columns([(*ids, name) for ids, name in teams.items()], 3))
        await connection.execute(_STUDENTS, *_columns({row.student_id: row.student_name for row in rows}.items(), 2))
        await connection.execute(_ENROLMENTS, *_columns([(r.course_id, r.student_id, r.team_id) for r in rows], 3))


async def of_student(connection: Connection, student_id: str) -> list[dict[str, Any]]:
    """His name, and each of his courses, as a transaction sees them."""
    named = await connection.fetch("SELECT student_id, name FROM students WHERE student_id = $1", student_id)
    return [dict(row) for row in [*named, *await connection.fetch(_HIS_COURSES, student_id)]]


async def forget(connection: Connection, student_id: str) -> None:
    """A roster that is imported again, with him in it, brings him back."""
    await connection.execute("DELETE FROM enrolments WHERE student_id = $1", student_id)
    await connection.execute("DELETE FROM students WHERE student_id = $1", student_id)


def _columns(rows: Iterable[tuple[str | None, ...]], width: int) -> list[list[str | None]]:
    """Rows as columns, which is how `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


_COURSES = """
INSERT INTO courses (course_id, name) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (course_id) DO UPDATE SET name = excluded.name
"""
_TEAMS = """
INSERT INTO teams (course_id, team_id, name) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT (course_id, team_id) DO UPDATE SET name = excluded.name
"""
_STUDENTS = """
INSERT INTO students (student_id, name) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (student_id) DO UPDATE SET name = excluded.name
"""
_HIS_COURSES = """
SELECT course_id, courses.name AS course, team_id, teams.name AS team
FROM enrolments JOIN courses USING (course_id) LEFT JOIN teams USING (course_id, team_id)
WHERE student_id = $1 ORDER BY course_id
"""
_ENROLMENTS = """
INSERT INTO enrolments (course_id, student_id, team_id) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT (course_id, student_id) DO UPDATE SET team_id = excluded.team_id
"""


class RosterCopy:
    """The gateway's copy, read again every REFRESH_S. While PostgreSQL is away the last one read goes on serving."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._roster: Roster | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def roster(self) -> Roster:
        """Raises DatabaseAwayError until it has been read for the first time."""
        if self._roster is None:
            raise DatabaseAwayError("the roster has not been read yet")
        return self._roster

    async def start(self) -> None:
        """Returns at once; reading goes on in the background."""
        self._task = asyncio.create_task(self._keep(), name="roster")

    async def stop(self) -> None:
        await ended(self._task)

    async def _keep(self) -> None:
        away = False
        while True:
            try:
                self._roster = await read(self._database)
                if away:
                    log.info("the roster is read again", students=len(self._roster.students))
                away = False
            except DatabaseAwayError as error:
                if not away:  # said once an outage
                    log.warning("the roster cannot be read; the last one serves", reason=str(error))
                away = True
            except Exception:  # a fault of ours; without end the copy would grow old, and nobody would hear of it
                log.exception("the roster cannot be read; the last one serves")
                away = True
            longest_s = REFRESH_S if self._roster is not None else 1.0  # until there is one, the door is shut
            await asyncio.sleep(random.uniform(longest_s * 0.8, longest_s))  # noqa: S311 - jitter, not a secret
