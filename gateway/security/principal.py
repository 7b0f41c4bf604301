"""Who asks, as what, and what he may see."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.roster import Roster
from wire.scopes import Scope, ScopeKind


class Role(StrEnum):
    VIEWER = "viewer"  # courses or teams, by ids
    TEACHER = "teacher"  # courses or teams, with names
    ADMIN = "admin"  # everything
    SRE = "sre"  # how all of it runs; students by ids
    STUDENT = "student"  # himself
    PRODUCER = "producer"  # sends events, sees nothing


class Rostered(Protocol):
    @property
    def roster(self) -> Roster:
        """Raises DatabaseAwayError until it was read."""


@dataclass(frozen=True)
class Principal:
    name: str
    role: Role
    courses: frozenset[str] | None = frozenset()  # None: all
    teams: frozenset[tuple[str, str]] = frozenset()  # (course, team)
    student_id: str | None = None
    expires_s: float | None = None  # epoch; None: as long as he is connected
    by_key: bool = False

    @property
    def who(self) -> str:
        """As the audit log has it; a key may be named like an account. "" where nobody logs in."""
        return f"key:{self.name}" if self.by_key else self.name

    @property
    def sees_names(self) -> bool:
        return self.role in (Role.TEACHER, Role.ADMIN)

    def has_team(self, course_id: str, team_id: str | None) -> bool:
        """Also whoever has the whole course; `team_id` None: no team of it."""
        if self.courses is None or course_id in self.courses:
            return True
        return team_id is not None and (course_id, team_id) in self.teams

    def may_see(self, scope: Scope, copy: Rostered) -> bool:
        """A student's numbers are of all his courses; whoever has one of them sees them. Raises DatabaseAwayError where
        the roster has to say it, and cannot."""
        if self.courses is None:
            return True
        match scope.kind:
            case ScopeKind.SCHOOL:
                return False
            case ScopeKind.COURSE:
                return scope.id in self.courses
            case ScopeKind.TEAM:
                course_id, _, team_id = scope.id.rpartition("/")
                return self.has_team(course_id, team_id)
            case ScopeKind.STUDENT:
                return scope.id == self.student_id or self._teaches(scope.id, copy)

    def _teaches(self, student_id: str, copy: Rostered) -> bool:
        if not self.courses and not self.teams:
            return False
        roster = copy.roster
        return any(roster.has(course, student_id) for course in self.courses or ()) or any(
            roster.team_of(course, student_id) == team for course, team in self.teams
        )


# Where nobody logs in (CLASSPULSE_DASHBOARD_ACCESS local or open), whoever is let in is a teacher of every course.
ANYONE = Principal("", Role.TEACHER, courses=None)
