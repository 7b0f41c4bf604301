"""What a number is about: a student, a team, a course, the school. Its text is a Kafka key and part of Redis names."""

from enum import StrEnum
from typing import NamedTuple


class ScopeKind(StrEnum):
    STUDENT = "student"
    TEAM = "team"
    COURSE = "course"
    SCHOOL = "school"


class Scope(NamedTuple):
    """`student:<id>`, `course:<id>`, `team:<course id>/<team id>` or `school:all`.

    Team ids are only unique within their course; they hold no slash (`wire.events` refuses one), so that the last
    slash of a team scope is the border.
    """

    kind: ScopeKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @classmethod
    def student(cls, student_id: str) -> "Scope":
        return cls(ScopeKind.STUDENT, student_id)

    @classmethod
    def course(cls, course_id: str) -> "Scope":
        return cls(ScopeKind.COURSE, course_id)

    @classmethod
    def team(cls, course_id: str, team_id: str) -> "Scope":
        return cls(ScopeKind.TEAM, f"{course_id}/{team_id}")

    @classmethod
    def school(cls) -> "Scope":
        return cls(ScopeKind.SCHOOL, "all")

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """Raises ValueError where the kind is unknown, the id is empty, or a team names no course."""
        kind, colon, id_ = text.partition(":")
        if not colon or not id_:
            raise ValueError(f"{text!r} is no scope: expected student:ID, course:ID, team:COURSE/TEAM or school:all")
        try:
            scope = cls(ScopeKind(kind), id_)
        except ValueError:
            raise ValueError(f"{kind!r} is no kind of scope: expected student, course, team or school") from None
        if scope.kind is ScopeKind.SCHOOL and scope != cls.school():
            raise ValueError(f"{text!r} is no scope: there is one school, school:all")
        if scope.kind is ScopeKind.TEAM and not all(id_.rpartition("/")):
            raise ValueError(f"{text!r} names no course: expected team:COURSE/TEAM")
        return scope
