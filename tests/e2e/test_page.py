"""The page in a real Chromium, on a whole stack: what is posted at the door changes what somebody sees."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from playwright.async_api import Browser, Page, Route, expect
from running import PATIENCE, RunningStack
from viewing import PHONE, ROSTER_MS, SOON_MS, Course, live, opened, shows

from pipelines.live.writer import LiveWriter
from wire.metrics import WINDOW_S, Metric, MetricPoint, ScopeUpdate, State

Picture = Callable[[Page, str], Awaitable[None]]


async def test_a_posted_event_changes_the_numbers_and_live_not_only_by_polling(
    browser: Browser, course: Course, picture: Picture
) -> None:
    page, errors = await opened(browser, course.dashboard, course.hash)
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text("ページの試験 · The page's test", timeout=ROSTER_MS)
    await live(page)
    await shows(page, f"{course.scope}:events_per_minute", "–")
    tile = page.get_by_test_id(f"student:{course.student(0)}")
    await expect(tile).to_have_attribute("data-state", "away")
    # For now the overview says what it said: only a live update can bring the number.
    overview = "**/dashboard/overview*"
    old = await (await page.request.get(f"{course.dashboard}/api/v1/dashboard/overview")).body()
    await page.route(overview, lambda route: route.fulfill(body=old, content_type="application/json"))

    await course.post(0, "code_run", success=False)
    await shows(page, f"{course.scope}:events_per_minute", "1")
    await shows(page, f"{course.scope}:active_students", "1")
    await shows(page, f"{course.scope}:error_rate", "100%")
    await shows(page, f"{course.team('t1')}:events_per_minute", "1")
    await shows(page, f"{course.team('t2')}:events_per_minute", "–")
    await page.unroute(overview)
    await expect(tile).to_have_attribute("data-state", "active", timeout=SOON_MS)
    await expect(tile).to_have_accessible_name(re.compile("^佐藤 陽菜 ?, active$"))

    await course.post(2, "help_requested")
    await shows(page, f"{course.team('t2')}:help_requests_open", "1")
    await shows(page, f"{course.scope}:help_requests_open", "1")
    # What a student is called is text, whatever it looks like.
    await expect(page.get_by_role("list", name="Help queue")).to_contain_text("<b>Zoe</b>", timeout=SOON_MS)
    await page.get_by_test_id(f"student:{course.student(2)}").focus()
    await expect(page.get_by_role("tooltip")).to_contain_text("<b>Zoe</b>")
    await expect(page.get_by_test_id("announcement")).to_have_text("Students asking for help: 1", timeout=SOON_MS)
    age_s = await page.get_by_test_id("data-age").get_attribute("data-seconds")
    assert age_s is not None
    assert int(age_s) < 60 * PATIENCE
    await expect(page.get_by_test_id("latency")).to_contain_text("event to screen")

    await picture(page, "posted")
    assert errors == []


def point(
    metric: Metric, value: float, *, label: str = "", n: int = 1, state: State = State.PROVISIONAL
) -> MetricPoint:
    """Of a window that ends now."""
    window_s, now_ms = WINDOW_S[metric], int(datetime.now(UTC).timestamp() * 1000)
    window = {"window_s": window_s, "start_ms": now_ms - 1000 * window_s, "as_of_ms": now_ms}
    return MetricPoint(metric=metric, label=label, value=float(value), n=n, state=state, **window)


async def test_who_struggles_who_waits_how_far_they_are_and_what_was_corrected_is_shown_and_explained(
    browser: Browser, course: Course, picture: Picture
) -> None:
    """As the pipelines write it, whatever makes them say so."""
    page, errors = await opened(browser, course.dashboard, course.hash)
    await expect(page.get_by_test_id(course.scope)).to_be_visible(timeout=ROSTER_MS)
    await shows(page, f"{course.scope}:present_students", "–")

    progress = [("q1", 1), ("median", 4), ("q3", 6)]
    class_ = [
        point(Metric.PRESENT_STUDENTS, 3),
        point(Metric.IDLE_STUDENTS, 1),
        point(Metric.STRUGGLING_STUDENTS, 1),
        point(Metric.HELP_REQUESTS_OPEN, 2),
        point(Metric.LONGEST_WAIT_S, 372),
        point(Metric.EVENTS_PER_MINUTE, 7, state=State.CORRECTED),
        *(point(Metric.TASK_PROGRESS, tasks, label=label, n=3) for label, tasks in progress),
    ]
    team = [point(Metric.PARTICIPATION_BALANCE, 0.75, n=2), point(Metric.TEAM_SCORE, 0.5, n=8)]
    updates = [ScopeUpdate(scope=course.scope, points=class_), ScopeUpdate(scope=course.team("t1"), points=team)]
    waits = {1: 75, 2: 372}
    for number in range(3):
        points = [point(Metric.STRUGGLING_STUDENTS, number == 0), point(Metric.HELP_REQUESTS_OPEN, number in waits)]
        points += [point(Metric.LONGEST_WAIT_S, waits.get(number, 0))]
        updates.append(ScopeUpdate(scope=f"student:{course.student(number)}", points=points))
    writer = LiveWriter(course.stack.environment("CLASSPULSE_REDIS_URL"))
    await writer.write(updates)
    await writer.close()

    await shows(page, f"{course.scope}:present_students", "3")
    await shows(page, f"{course.scope}:idle_students", "1")
    await shows(page, f"{course.scope}:struggling_students", "1")
    for label, tasks in progress:
        await shows(page, f"{course.scope}:task_progress:{label}", str(tasks))
    await shows(page, f"{course.team('t1')}:participation_balance", "75%")
    await shows(page, f"{course.team('t1')}:team_score", "50%")
    tile = page.get_by_test_id(f"student:{course.student(0)}")
    await expect(tile).to_have_attribute("data-state", "struggling", timeout=SOON_MS)
    await expect(tile).to_have_accessible_name(re.compile("^佐藤 陽菜 ?, struggling$"))
    waiters = page.get_by_role("list", name="Help queue").get_by_role("listitem")
    await expect(waiters).to_have_text([re.compile("<b>Zoe</b>.*6 mins"), re.compile("Omar Haddad.*75 secs")])

    asking = page.get_by_role("button", name=re.compile("^Asking for help: 2 ?longest 6 mins ?.Provisional"))
    await asking.focus()
    note = page.get_by_role("tooltip")
    await expect(note).to_contain_text("How it is counted")
    await expect(note).to_contain_text("How true")
    await expect(note).to_contain_text("Provisional: still being counted")
    await page.keyboard.press("Escape")
    await expect(note).to_be_hidden()
    corrected = page.get_by_role("button", name=re.compile("^Events . min: 7 ?.Corrected"))
    await corrected.hover()
    await expect(note).to_contain_text("Corrected: something that came late has changed this number")
    await expect(corrected).to_contain_text("✎")

    await page.get_by_role("button", name=re.compile("^struggling 1")).click()
    await expect(page.locator(".tile")).to_have_count(1)
    await picture(page, "struggling")
    assert errors == []


async def test_speaks_the_browsers_language_and_colours_until_the_viewer_chooses(
    browser: Browser, running_stack: RunningStack
) -> None:
    page, errors = await opened(browser, running_stack.dashboard, "", PHONE, locale="ja-JP", color_scheme="dark")
    root = page.locator("html")
    connection = page.get_by_test_id("connection")
    await expect(root).to_have_attribute("lang", "ja")
    await expect(root).to_have_attribute("data-theme", "dark")
    await expect(connection).to_contain_text("ライブ")
    await page.get_by_role("button", name="English").click()
    await expect(connection).to_contain_text("Live")
    await expect(page.get_by_role("button", name="English")).to_be_focused()
    await page.get_by_test_id("theme").click()
    await expect(root).to_have_attribute("data-theme", "light")
    await page.reload()
    await expect(connection).to_contain_text("Live", timeout=SOON_MS)
    await expect(root).to_have_attribute("lang", "en")
    await expect(root).to_have_attribute("data-theme", "light")
    await page.get_by_test_id("theme").click()
    await page.get_by_test_id("theme").click()
    await expect(root).to_have_attribute("data-theme", "dark")
    await page.emulate_media(color_scheme="light")
    await expect(root).to_have_attribute("data-theme", "light")
    assert errors == []


async def test_with_names_hidden_nobody_is_named_anywhere(browser: Browser, course: Course) -> None:
    page, _ = await opened(browser, course.dashboard, course.hash)
    first = page.get_by_test_id(f"student:{course.student(0)}")
    await expect(first).to_contain_text("佐藤 陽菜", timeout=ROSTER_MS)
    await course.post(1, "help_requested")
    await expect(page.get_by_role("list", name="Help queue")).to_contain_text("Omar Haddad", timeout=SOON_MS)

    async def named() -> list[str]:
        """Whom any text, title or name for screen readers tells of."""
        everything = await page.content() + await page.title()
        return [name for name in ("陽菜", "Omar", "Zoe") if name in everything]

    assert await named() == ["陽菜", "Omar", "Zoe"]
    await page.keyboard.press("n")
    await expect(first).to_have_accessible_name(re.compile(r"^Student \d+ ?, "))
    await first.focus()
    await expect(page.get_by_role("tooltip")).to_contain_text("Student ")
    assert await named() == []
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^Student \d+$"))
    await expect(page).to_have_title(re.compile(r"^Student \d+ · ClassPulse$"))
    assert await named() == []
    assert re.search(r"#/student/~[0-9a-f]{16}$", page.url)
    await page.reload()
    await live(page)
    await expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^Student \d+$"))
    await page.keyboard.press("n")
    await expect(page).to_have_title("佐藤 陽菜 · ClassPulse")
    assert page.url.endswith(f"#/student/{course.student(0)}")

    await page.goto(f"{course.dashboard}/{course.hash}")
    await page.keyboard.press("p")
    await expect(page.get_by_test_id("view:projector")).to_be_visible()
    await expect(page.locator("main .number")).to_have_count(3)
    assert await named() == []
    await page.keyboard.press("Escape")
    await expect(first).to_contain_text("佐藤 陽菜")


async def test_everything_can_be_reached_by_the_keyboard(browser: Browser, course: Course) -> None:
    page, errors = await opened(browser, course.dashboard, course.hash)
    await expect(page.get_by_test_id(course.scope)).to_be_visible(timeout=ROSTER_MS)
    press, focused = page.keyboard.press, page.locator(":focus")
    await press("Tab")
    await expect(focused).to_have_text("Skip to the content")
    await press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await press("Tab")
    await expect(focused).to_have_accessible_name(re.compile("^Active: "))

    # One stop for all students, and the arrows within.
    first = page.get_by_test_id(f"student:{course.student(0)}")
    await first.focus()
    await press("ArrowRight")
    await expect(page.get_by_test_id(f"student:{course.student(1)}")).to_be_focused()
    await press("End")
    await expect(page.get_by_test_id(f"student:{course.student(2)}")).to_be_focused()
    await press("Tab")
    await expect(page.locator(".tile:focus")).to_have_count(0)
    await first.focus()
    await press("Enter")
    await expect(page.get_by_test_id(f"student:{course.student(0)}:presence")).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await press("a")
    await expect(page.get_by_test_id("view:about")).to_be_visible()
    await press("0")
    await expect(page.get_by_test_id("view:school")).to_be_visible()
    await page.get_by_test_id(course.scope).get_by_role("link").focus()
    await press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("ページの試験 · The page's test")

    await press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("checkbox").uncheck()
    await press("Escape")
    await expect(dialog).to_be_hidden()
    await press("n")
    await press("l")
    await page.wait_for_timeout(600)
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(page.get_by_test_id("names")).to_have_attribute("aria-pressed", "false")
    assert errors == []


async def test_who_is_on_call_sees_where_to_look_live_and_by_polling_where_no_websocket_goes(
    browser: Browser, running_stack: RunningStack, picture: Picture
) -> None:
    dashboard = running_stack.dashboard
    page, errors = await opened(browser, dashboard)
    await page.get_by_test_id("oncall-link").click()
    await expect(page.get_by_test_id("view:oncall")).to_be_visible(timeout=SOON_MS)
    group = page.get_by_test_id("node:group aggregate")
    await expect(group).to_contain_text("1 of 1 workers ready", timeout=ROSTER_MS)
    await expect(page.get_by_test_id("node:viewers")).to_contain_text("1 watching", timeout=SOON_MS)
    await live(page)
    await expect(page.get_by_test_id("promise:ingest")).to_contain_text("promised 99.9%", timeout=SOON_MS)
    await picture(page, "oncall")
    assert errors == []
    runbook = await page.request.get(f"{dashboard}/runbook.html")
    assert 'id="stalled"' in await runbook.text()

    drawn = await (await page.request.get(f"{dashboard}/api/v1/admin/pipeline")).json()
    says, runbook_ = (
        "live is stalled: its worker holds partition 3 and has not moved for 40 s",
        "docs/runbook.md#stalled",
    )
    bad = {"verdict": "degraded", "says": says, "since": drawn["seen"], "runbook": runbook_}
    drawn |= {"first": "group live", "verdict": "degraded", "says": says}
    drawn["reasons"] = [bad | {"about": "group live"}]
    for node in drawn["nodes"]:
        if node["id"] == "group live":
            node |= bad | {"state": "stalled", "lag": 1_234, "lag_s": 40.0, "rate_out": 0}

    async def told(route: Route) -> None:
        await route.fulfill(json=drawn | {"seen": datetime.now(UTC).isoformat()})

    await page.route("**/api/v1/admin/pipeline*", told)
    await page.route_web_socket("**/ws/live", lambda socket: socket.close())
    await page.reload()
    stalled = page.get_by_test_id("node:group live")
    await expect(stalled).to_contain_text("Look here first", timeout=ROSTER_MS)
    await expect(stalled).to_contain_text("Stalled")
    await expect(stalled.get_by_role("link")).to_have_attribute("href", "runbook.html#stalled")
    await expect(page.get_by_test_id("oncall:verdict")).to_contain_text("Degraded")
    await picture(page, "oncall-stalled")
