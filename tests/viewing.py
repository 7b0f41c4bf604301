"""What the page's tests share: students of their own on a running stack, and how to look at the page."""

import asyncio
import csv
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, ViewportSize, expect
from running import PATIENCE, RunningStack, eventually

from producers.classroom import Classroom
from producers.door import Event
from producers.school import Member, roster

DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}

SOON_MS = 15_000 * PATIENCE
ROSTER_MS = 40_000 * PATIENCE  # the gateway's copy of the roster, then the page's next look
BATCH = 500  # of events the door takes at once


def enrol(stack: RunningStack, members: Iterable[Member], folder: Path) -> None:
    file = folder / "roster.csv"
    with file.open("w", newline="", encoding="utf-8") as rows:
        writer = csv.writer(rows)
        writer.writerow([column.name for column in fields(Member)])
        writer.writerows(map(astuple, members))
    stack.run("roster", "import", str(file), "--postgres", stack.environment("CLASSPULSE_POSTGRES_URL"))


@dataclass(frozen=True)
class Door:
    """Where a stack takes events. Asked once: to ask a stack anything takes a second."""

    url: str
    api_key: str

    @staticmethod
    def of(stack: RunningStack) -> "Door":
        return Door(stack.door, stack.api_key)

    async def post(self, events: list[Event]) -> None:
        """As any producer posts them."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        async with httpx.AsyncClient(timeout=10 * PATIENCE, headers=headers) as client:
            for first in range(0, len(events), BATCH):
                answer = await client.post(self.url, json=events[first : first + BATCH])
                assert answer.status_code == 202, answer.text


@dataclass
class Course:
    """A course of this test's own, with two teams: 青 (two students) and Red (one)."""

    stack: RunningStack
    door: Door
    dashboard: str
    course_id: str

    @staticmethod
    def enrolled(stack: RunningStack, folder: Path) -> "Course":
        course = Course(stack, Door.of(stack), stack.dashboard, f"page-{uuid.uuid4().hex[:8]}")
        people = [("佐藤 陽菜", "t1", "青"), ("Omar Haddad", "t1", "青"), ("<b>Zoe</b>", "t2", "Red")]
        name = "ページの試験 · The page's test"
        members = [
            Member(course.student(n), who, course.course_id, name, *team) for n, (who, *team) in enumerate(people)
        ]
        enrol(stack, members, folder)
        return course

    @property
    def scope(self) -> str:
        return f"course:{self.course_id}"

    @property
    def hash(self) -> str:
        return f"#/course/{self.course_id}"

    def team(self, team_id: str) -> str:
        return f"team:{self.course_id}/{team_id}"

    def student(self, number: int) -> str:
        return f"{self.course_id}-s{number}"

    async def post(self, number: int, kind: str, **fields: Any) -> None:
        """One event of a student of this course, now."""
        what = {"student_id": self.student(number), "course_id": self.course_id, "kind": kind}
        await self.door.post([{**what, "occurred_at": datetime.now(UTC).isoformat(), **fields}])


@dataclass
class Lesson:
    """153 students of three courses, who have been at it for 25 minutes and go on while they are asked to."""

    door: Door
    dashboard: str
    members: list[Member]
    classroom: Classroom

    @staticmethod
    async def begun(stack: RunningStack, folder: Path) -> "Lesson":
        own = uuid.uuid4().hex[:6]
        members = [
            replace(member, student_id=f"{own}-{member.student_id}", course_id=f"{own}-{member.course_id}")
            for member in roster(7)
        ]
        enrol(stack, members, folder)
        lesson = Lesson(Door.of(stack), stack.dashboard, members, Classroom(members, seed=7, rate=50))
        what = "the gateway's copy of the roster has them: the door fills in their teams"
        await eventually(lesson.listed, 30, what, every_s=1)
        # Every tenth second of the past is enough to fill the charts.
        start = datetime.now(UTC) - timedelta(minutes=25)
        past = [event for second in range(0, 25 * 60, 10) for event in lesson.at(start + timedelta(seconds=second))]
        await lesson.door.post(past)
        return lesson

    async def listed(self) -> bool:
        async with httpx.AsyncClient(timeout=10 * PATIENCE) as client:
            overview = (await client.get(f"{self.dashboard}/api/v1/dashboard/overview")).json()
        return any(course["course_id"] == self.course_id for course in overview["courses"])

    def at(self, moment: datetime) -> list[Event]:
        return self.classroom.step(int(moment.timestamp()) * 1000)

    async def go_on(self) -> None:
        """About 50 events a second, until cancelled; where the machine is slow, what is due comes at once."""
        due = datetime.now(UTC)
        while True:
            events: list[Event] = []
            while due <= datetime.now(UTC):
                events += self.at(due)
                due += timedelta(seconds=1)
            await self.door.post(events)
            await asyncio.sleep(1)

    @property
    def course_id(self) -> str:
        return self.members[0].course_id

    def views(self) -> Iterator[tuple[str, str]]:
        """A name and the address of each."""
        yield "school", "#/"
        yield "course", f"#/course/{self.course_id}"
        yield "student", f"#/student/{self.members[0].student_id}"
        yield "about", "#/about"
        yield "oncall", "#/oncall"
        yield "projector", f"#/course/{self.course_id}?projector"


async def opened(
    browser: Browser, dashboard: str, at: str = "", size: ViewportSize = DESKTOP, script: str = "", **more: Any
) -> tuple[Page, list[str]]:
    """The page when it is live, and the errors its console will have shown: a breach of its security policy is one.

    `script` runs before its own.
    """
    options = {"locale": "en-GB", "timezone_id": "Asia/Tokyo", "viewport": size, **more}
    context = await browser.new_context(**options)
    page = await context.new_page()
    await page.add_init_script(script)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    await page.goto(f"{dashboard}/{at}")
    await live(page)
    return page, errors


async def live(page: Page, timeout_ms: float = SOON_MS) -> None:
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=timeout_ms)


async def shows(page: Page, test_id: str, text: str, timeout_ms: float = SOON_MS) -> None:
    await expect(page.get_by_test_id(test_id)).to_have_text(text, timeout=timeout_ms)
