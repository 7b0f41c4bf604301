"""The page in a real Chromium, on a whole stack: what is posted at the door changes what somebody sees."""

import csv
import json
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.async_api import Browser, Page, Response, ViewportSize, async_playwright, expect
from running import PATIENCE, PROJECT, RunningStack, eventually

PICTURES = PROJECT / "build" / "page"  # what the tests saw, for a person to look at
FOUND = PROJECT / "build" / "chromium.json"

OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}

SOON_MS = 15_000 * PATIENCE
ROSTER_MS = 40_000 * PATIENCE  # the gateway's copy of the roster, then the page's next look
BACK_MS = 60_000 * PATIENCE  # the gateway started again, then the page's longest pause
OLD_MS = 60_000 * PATIENCE  # the page's 30 s, and as long again for a busy machine


@pytest.fixture(scope="session")
def chromium() -> str:
    """Skips, saying why, where there is no browser. `make test` installs one; this only looks."""
    if not FOUND.exists():
        look = [sys.executable, str(Path(__file__).parent / "browser.py"), "--look"]
        subprocess.run(look, check=True, timeout=60 * PATIENCE)
    found = json.loads(FOUND.read_text())
    if "reason" in found:
        pytest.skip(found["reason"])
    return str(found["executable"])


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        await browser.close()


@dataclass
class Course:
    """A course of this test's own, with two teams: 青 (two students) and Red (one)."""

    stack: RunningStack
    course_id: str

    @property
    def scope(self) -> str:
        return f"course:{self.course_id}"

    def team(self, team_id: str) -> str:
        return f"team:{self.course_id}/{team_id}"

    def student(self, number: int) -> str:
        return f"{self.course_id}-s{number}"

    async def post(self, number: int, kind: str, **fields: Any) -> None:
        """One event of a student of this course, now, as any producer posts it."""
        event = {
            "student_id": self.student(number),
            "course_id": self.course_id,
            "kind": kind,
            "occurred_at": datetime.now(UTC).isoformat(),
            **fields,
        }
        async with httpx.AsyncClient(timeout=10 * PATIENCE) as client:
            headers = {"Authorization": f"Bearer {self.stack.api_key}"}
            answer = await client.post(self.stack.door, json=event, headers=headers)
        assert answer.status_code == 202, answer.text


@pytest.fixture
def course(running_stack: RunningStack, tmp_path: Path) -> Course:
    course = Course(running_stack, f"page-{uuid.uuid4().hex[:8]}")
    file = tmp_path / "roster.csv"
    with file.open("w", newline="", encoding="utf-8") as rows:
        writer = csv.writer(rows)
        writer.writerow(["student_id", "student_name", "course_id", "course_name", "team_id", "team_name"])
        for number, (name, team_id, team_name) in enumerate(
            [("佐藤 陽菜", "t1", "青"), ("Omar Haddad", "t1", "青"), ("<b>Zoe</b>", "t2", "Red")]
        ):
            row = [course.student(number), name, course.course_id, "ページの試験 · The page's test", team_id, team_name]
            writer.writerow(row)
    postgres = running_stack.environment("CLASSPULSE_POSTGRES_URL")
    running_stack.run("roster", "import", str(file), "--postgres", postgres)
    return course


async def opened(
    browser: Browser, stack: RunningStack, language: str = "en-GB", size: ViewportSize = DESKTOP
) -> tuple[Page, list[str]]:
    """The page when it is live, and the errors its console will have shown: a breach of its security policy is one."""
    context = await browser.new_context(locale=language, timezone_id="Asia/Tokyo", viewport=size)
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    await page.goto(stack.dashboard)
    await live(page)
    return page, errors


async def live(page: Page, timeout_ms: float = SOON_MS) -> None:
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=timeout_ms)


async def shows(page: Page, test_id: str, text: str, timeout_ms: float = SOON_MS) -> None:
    await expect(page.get_by_test_id(test_id)).to_have_text(text, timeout=timeout_ms)


async def said(page: Page) -> list[str]:
    """Every state of the connection the page shows from now on is added to `window.said`."""
    return list(
        await page.evaluate(
            """() => {
                const connection = document.querySelector('[data-testid="connection"]');
                window.said = [connection.dataset.state];
                new MutationObserver(() => window.said.push(connection.dataset.state))
                    .observe(connection, { attributeFilter: ["data-state"] });
                return window.said;
            }"""
        )
    )


async def picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


async def test_a_posted_event_changes_the_numbers_on_the_page(browser: Browser, course: Course) -> None:
    page, errors = await opened(browser, course.stack)
    card = page.get_by_test_id(course.scope)
    await expect(card.get_by_role("heading", level=2)).to_have_text("ページの試験 · The page's test", timeout=ROSTER_MS)
    await shows(page, f"{course.scope}:events_per_minute", "0")
    await shows(page, f"{course.scope}:error_rate", "–")
    tile = page.get_by_test_id(f"student:{course.student(0)}")
    await expect(tile).to_have_attribute("data-state", "idle")

    await course.post(0, "code_run", success=False)
    await shows(page, f"{course.scope}:events_per_minute", "1")
    await shows(page, f"{course.scope}:active_students", "1")
    await shows(page, f"{course.scope}:error_rate", "100%")
    await shows(page, f"{course.team('t1')}:events_per_minute", "1")
    await shows(page, f"{course.team('t2')}:events_per_minute", "0")
    await expect(tile).to_have_attribute("data-state", "active", timeout=SOON_MS)
    await expect(tile).to_have_accessible_name("佐藤 陽菜, active")

    await course.post(2, "help_requested")
    await shows(page, f"{course.team('t2')}:help_requests_open", "1")
    await shows(page, f"{course.scope}:help_requests_open", "1")
    # What a student is called is text, whatever it looks like.
    await expect(card.get_by_role("list", name="Waiting for help")).to_contain_text("<b>Zoe</b>", timeout=SOON_MS)
    await page.get_by_test_id(f"student:{course.student(2)}").focus()
    await expect(page.get_by_role("tooltip")).to_contain_text("<b>Zoe</b>")
    age_s = await page.get_by_test_id("data-age").get_attribute("data-seconds")
    assert age_s is not None
    assert int(age_s) < 60 * PATIENCE

    await picture(page, "posted")
    assert errors == []


async def test_the_numbers_come_live_and_not_only_by_polling(browser: Browser, course: Course) -> None:
    page, _ = await opened(browser, course.stack)
    await expect(page.get_by_test_id(course.scope)).to_be_visible(timeout=ROSTER_MS)
    await live(page)
    # From here on the overview says what it said: only a live update can bring the number.
    answer = await page.request.get(f"{course.stack.dashboard}/api/v1/dashboard/overview")
    old = await answer.body()
    await page.route("**/dashboard/overview*", lambda route: route.fulfill(body=old, content_type="application/json"))

    await course.post(1, "page_viewed")
    await shows(page, f"{course.scope}:events_per_minute", "1")
    await shows(page, f"{course.team('t1')}:active_students", "1")


async def test_speaks_the_browsers_language_until_the_viewer_chooses(
    browser: Browser, running_stack: RunningStack
) -> None:
    page, errors = await opened(browser, running_stack, "ja-JP", PHONE)
    connection = page.get_by_test_id("connection")
    await expect(connection).to_contain_text("ライブ")
    await expect(page.locator("html")).to_have_attribute("lang", "ja")
    await picture(page, "japanese-phone")
    too_wide = "document.documentElement.scrollWidth > window.innerWidth"
    assert not await page.evaluate(too_wide), "the page is wider than a phone"

    await page.get_by_role("button", name="English").click()
    await expect(connection).to_contain_text("Live")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.reload()
    await expect(connection).to_contain_text("Live", timeout=SOON_MS)
    await picture(page, "english-phone")
    assert not await page.evaluate(too_wide), "the page is wider than a phone"
    assert errors == []


async def test_a_killed_gateway_is_shown_and_the_page_goes_on_by_itself(browser: Browser, course: Course) -> None:
    page, _ = await opened(browser, course.stack)
    await expect(page.get_by_test_id(course.scope)).to_be_visible(timeout=ROSTER_MS)
    await course.post(0, "page_viewed")
    await shows(page, f"{course.scope}:active_students", "1")

    course.stack.kill("gateway")
    connection = page.get_by_test_id("connection")
    await expect(connection).to_have_attribute("data-state", "lost", timeout=SOON_MS)
    await expect(connection).to_contain_text("Connection lost")
    await expect(page.get_by_test_id("notice")).to_contain_text("No connection since")
    await shows(page, f"{course.scope}:active_students", "1")  # what was known stays
    await picture(page, "lost")

    await live(page, BACK_MS)
    await expect(page.get_by_test_id("notice")).to_be_hidden()
    await course.post(1, "page_viewed")
    await shows(page, f"{course.scope}:active_students", "2")


async def test_redis_away_is_said_and_the_connection_is_kept_until_it_is_back(browser: Browser, course: Course) -> None:
    page, _ = await opened(browser, course.stack)
    await expect(page.get_by_test_id(course.scope)).to_be_visible(timeout=ROSTER_MS)
    await course.post(0, "page_viewed")
    await shows(page, f"{course.scope}:active_students", "1")
    assert await said(page) == ["live"]
    refusals: list[int] = []

    def answered(response: Response) -> None:
        if "/dashboard/overview" in response.url and response.status == 503:
            refusals.append(response.status)

    page.on("response", answered)

    # Killed at once it would be back before anybody could look: it hangs first.
    pid = int(course.stack.service("valkey")["pid"])
    psutil.Process(pid).suspend()
    try:
        connection = page.get_by_test_id("connection")
        await expect(connection).to_have_attribute("data-state", "stale", timeout=SOON_MS)
        await expect(connection).to_contain_text("Updates paused")
        await expect(page.get_by_test_id("notice")).to_contain_text("no new values since")
        age = page.get_by_test_id("data-age")
        await expect(age).to_have_attribute("data-old", "")
        await expect(age).to_have_text(re.compile("^Newest data .* ago$"))

        async def refused_often() -> bool:
            return len(refusals) >= 4

        await eventually(refused_often, 60, "the page asks again as it was told, and is refused")
        await shows(page, f"{course.scope}:active_students", "1")  # what was known stays
        await picture(page, "stale")
    finally:
        psutil.Process(pid).kill()

    await live(page, BACK_MS)
    seen = await page.evaluate("window.said")
    assert seen[:2] == ["live", "stale"], seen
    # Back, the data may be old for the moment until the first update.
    assert not {"lost", "connecting"} & set(seen), "one connection, from beginning to end"
    await expect(page.get_by_test_id("notice")).to_be_hidden()
    await course.post(1, "page_viewed")
    await shows(page, f"{course.scope}:active_students", "2", BACK_MS)


async def test_data_that_stands_still_is_old_although_the_connection_is_live(browser: Browser, course: Course) -> None:
    page, errors = await opened(browser, course.stack)
    await expect(page.get_by_test_id(course.scope)).to_be_visible(timeout=ROSTER_MS)
    await course.post(0, "page_viewed")
    await shows(page, f"{course.scope}:active_students", "1")
    connection = page.get_by_test_id("connection")
    old = page.get_by_test_id(f"{course.scope}:old")
    await expect(old).to_be_hidden()

    worker = psutil.Process(int(course.stack.service("live")["pid"]))
    worker.suspend()
    try:
        await expect(connection).to_have_attribute("data-state", "old", timeout=OLD_MS)
        await expect(connection).to_contain_text("Data is old")
        await expect(page.get_by_test_id("notice")).to_contain_text("Connected, but nothing new since")
        # Another test's course may have moved last a little earlier.
        await expect(old).to_have_text(re.compile("^last update .* ago$"), timeout=SOON_MS)
        await picture(page, "old")
        await page.get_by_role("button", name="日本語").click()
        await expect(connection).to_contain_text("データが古い")
        await picture(page, "old-japanese")
        await page.reload()  # who comes now is told at once
        await expect(connection).to_have_attribute("data-state", "old", timeout=SOON_MS)
    finally:
        worker.resume()

    await live(page, BACK_MS)
    await expect(old).to_be_hidden()
    assert errors == []
