"""The demo's school: its size, its shape, and that a seed always makes the same one."""

from collections import Counter

import pytest

from producers.school import COURSES, STUDENTS, TEAMS_PER_COURSE, roster
from wire.scopes import Scope

SEEDS = [0, 1, 153, -7]


@pytest.mark.parametrize("seed", SEEDS)
def test_153_students_in_3_courses_and_27_teams(seed: int) -> None:
    members = list(roster(seed))
    assert len({member.student_id for member in members}) == len(members) == STUDENTS == 153
    assert {member.course_id for member in members} == set(COURSES)
    assert len(COURSES) == 3
    assert len({(member.course_id, member.team_id) for member in members}) == 3 * TEAMS_PER_COURSE == 27


@pytest.mark.parametrize("seed", SEEDS)
def test_courses_and_teams_differ_by_one_student_at_most(seed: int) -> None:
    members = list(roster(seed))
    for sizes in (Counter(m.course_id for m in members), Counter((m.course_id, m.team_id) for m in members)):
        assert max(sizes.values()) - min(sizes.values()) <= 1


def test_the_same_seed_makes_the_same_school_and_another_seed_another() -> None:
    assert list(roster(5)) == list(roster(5))
    assert [member.student_name for member in roster(5)] != [member.student_name for member in roster(6)]


def test_ids_names_and_labels_belong_together() -> None:
    names: dict[tuple[str, str], set[str]] = {}
    for member in roster(1):
        assert member.student_name.strip() == member.student_name != ""
        assert member.course_name == COURSES[member.course_id]
        assert Scope.parse(str(Scope.team(member.course_id, member.team_id)))
        names.setdefault((member.course_id, member.team_id), set()).add(member.team_name)
    assert all(len(of_one_team) == 1 for of_one_team in names.values())
