"""The page in a real Chromium while something is away, or stands still: it says so, and goes on by itself."""

import re
from collections.abc import Awaitable, Callable

import psutil
from playwright.async_api import Browser, Page, Response, expect
from running import PATIENCE, eventually
from viewing import ROSTER_MS, SOON_MS, Course, live, opened, shows

BACK_MS = 60_000 * PATIENCE  # the gateway started again, then the page's longest pause
OLD_MS = 60_000 * PATIENCE  # the page's 30 s, and as long again for a busy machine

Picture = Callable[[Page, str], Awaitable[None]]


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


async def test_a_killed_gateway_is_shown_and_the_page_goes_on_by_itself(
    browser: Browser, course: Course, picture: Picture
) -> None:
    page, _ = await opened(browser, course.dashboard, course.hash)
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


async def test_redis_away_is_said_and_the_connection_is_kept_until_it_is_back(
    browser: Browser, course: Course, picture: Picture
) -> None:
    page, _ = await opened(browser, course.dashboard, course.hash)
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


async def test_data_that_stands_still_is_old_although_the_connection_is_live(
    browser: Browser, course: Course, picture: Picture
) -> None:
    page, errors = await opened(browser, course.dashboard, course.hash)
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
