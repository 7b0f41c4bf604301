"""The demo's school: 153 students in 3 courses and 27 teams, the same for the same seed. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

STUDENTS = 153
TEAMS_PER_COURSE = 9
COURSES = {
    "py101": "プログラミング入門 · Programming in Python",
    "ds201": "データ分析 · Data Analysis",
    "web110": "ウェブ開発 · Web Development",
}
_FAMILY = [
    "佐藤",
    "鈴木",
    "高橋",
    "田中",
    "伊藤",
    "渡辺",
    "山本",
    "中村",
    "小林",
    "加藤",
    "Miller",
    "Garcia",
    "Nguyen",
    "Kim",
    "Rossi",
    "Novak",
    "Silva",
    "Haddad",
]
_GIVEN = [
    "陽菜",
    "蓮",
    "葵",
    "湊",
    "凛",
    "樹",
    "結衣",
    "大翔",
    "紬",
    "悠真",
    "Emma",
    "Liam",
    "Mia",
    "Noah",
    "Zoe",
    "Kenji",
    "Sara",
    "Omar",
    "Lena",
    "Ivan",
]


@dataclass(frozen=True)
class Member:
    """One row of the roster."""

    student_id: str
    student_name: str
    course_id: str
    course_name: str
    team_id: str
    team_name: str


def roster(seed: int) -> Iterator[Member]:
    """Students are dealt to the courses, and within a course to its teams, like cards: team sizes differ by one."""
    rng = random.Random(f"roster {seed}")  # noqa: S311 -- a simulation
    courses = list(COURSES.items())
    for index in range(STUDENTS):
        course_id, course_name = courses[index % len(courses)]
        team = index // len(courses) % TEAMS_PER_COURSE + 1
        family, given = rng.choice(_FAMILY), rng.choice(_GIVEN)
        yield Member(
            student_id=f"s{index + 1:03d}",
            student_name=f"{family} {given}" if not family.isascii() else f"{given} {family}",
            course_id=course_id,
            course_name=course_name,
            team_id=f"t{team}",
            team_name=f"チーム{team} · Team {team}",
        )
