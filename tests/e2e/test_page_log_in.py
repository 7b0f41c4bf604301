"""The page where one logs in, in a real Chromium: log-in, what is left out, log-out, and a session that ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from gateway_process import serving
from logging_in import PASSWORD, ROSTER, SECRET, create
from oidc_provider import CLIENT, CLIENT_SECRET, provider
from playwright.async_api import Browser, Page, expect
from running import PROJECT
from viewing import DESKTOP, ROSTER_MS, live

from gateway import roster, schema
from gateway.accounts import identities, people
from gateway.database import Database, connected

AXE = PROJECT / "web" / "node_modules" / "axe-core" / "axe.min.js"

Picture = Callable[[Page, str], Awaitable[None]]


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 30) as database:
        await roster.store(database, ROSTER)
        await create(database, "teacher", "mate")
        yield database


@pytest.fixture
async def dashboard(database: Database, postgres_url: str, redis_url: str) -> AsyncIterator[str]:  # noqa: ARG001
    settings = {"POSTGRES_URL": postgres_url, "REDIS_URL": redis_url, "SECRET_KEY": SECRET}
    given = {f"CLASSPULSE_{name}": value for name, value in settings.items()}
    async with serving(CLASSPULSE_DASHBOARD_ACCESS="accounts", **given) as (port, _):
        yield f"http://127.0.0.1:{port}/"


async def asked(browser: Browser, dashboard: str, **more: Any) -> Page:
    """A page that asks who one is."""
    context = await browser.new_context(**{"locale": "en-GB", "viewport": DESKTOP, **more})
    page = await context.new_page()
    await page.goto(dashboard)
    await expect(page.get_by_test_id("view:log-in")).to_be_visible(timeout=ROSTER_MS)
    return page


async def typed(page: Page, username: str, password: str = PASSWORD) -> None:
    """By the keyboard alone: the first field has the focus."""
    await expect(page.get_by_test_id("username")).to_be_focused()
    await page.keyboard.type(username)
    await page.keyboard.press("Tab")
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")


async def violations(page: Page) -> list[str]:
    await page.evaluate(f"window.axe ?? (() => {{ {AXE.read_text()} }})()")
    found: dict[str, Any] = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("locale", "words"), [("en-GB", "Log in"), ("ja-JP", "ログイン")])
async def test_anybody_can_read_and_use_the_log_in(
    browser: Browser, dashboard: str, picture: Picture, scheme: str, locale: str, words: str
) -> None:
    page = await asked(browser, dashboard, locale=locale, color_scheme=scheme)
    await expect(page.get_by_role("button", name=words, exact=True)).to_be_visible()
    assert await violations(page) == []
    await picture(page, f"log-in-{locale}-{scheme}")


async def test_who_logs_in_sees_what_is_his_until_he_logs_out(
    browser: Browser, dashboard: str, picture: Picture
) -> None:
    page = await asked(browser, dashboard)
    await typed(page, "teacher", "not the right one")
    await expect(page.get_by_role("alert")).to_contain_text("is wrong")
    await expect(page.get_by_test_id("password")).to_be_focused()
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("who")).to_have_text("Teacher", timeout=ROSTER_MS)
    await live(page)
    await expect(page.get_by_test_id("course:mine")).to_be_visible()
    await expect(page.get_by_test_id("course:theirs")).to_have_count(0)
    assert await violations(page) == []
    await picture(page, "logged-in")
    assert await page.evaluate("document.cookie") == ""  # no script can read them
    await page.reload()
    await expect(page.get_by_test_id("who")).to_have_text("Teacher", timeout=ROSTER_MS)
    await page.get_by_test_id("log-out").click()
    await expect(page.get_by_test_id("view:log-in")).to_be_visible(timeout=ROSTER_MS)
    await expect(page.get_by_test_id("course:mine")).to_have_count(0)


async def test_without_its_access_token_the_page_renews_it_and_with_the_session_ended_it_asks(
    browser: Browser, dashboard: str, database: Database
) -> None:
    page = await asked(browser, dashboard)
    await typed(page, "teacher")
    await expect(page.get_by_test_id("who")).to_have_text("Teacher", timeout=ROSTER_MS)
    await page.context.clear_cookies(name="classpulse_access")
    await page.reload()
    await expect(page.get_by_test_id("who")).to_have_text("Teacher", timeout=ROSTER_MS)
    await people.set_password(database, "teacher", "another one of his", by="cli:x")
    await page.context.clear_cookies(name="classpulse_access")
    await expect(page.get_by_test_id("view:log-in")).to_be_visible(timeout=ROSTER_MS)
    await expect(page.get_by_test_id("log-out")).to_be_hidden()


async def test_one_team_and_no_names(browser: Browser, dashboard: str) -> None:
    page = await asked(browser, dashboard)
    await typed(page, "mate")
    await expect(page.get_by_test_id("who")).to_have_text("Mate", timeout=ROSTER_MS)
    await page.goto(f"{dashboard}#/student/s1")
    await expect(page.get_by_role("heading", level=1)).to_have_text("s1", timeout=ROSTER_MS)
    await expect(page.locator("body")).not_to_contain_text("Aoi")


async def test_by_a_provider_one_is_logged_in_and_who_has_no_account_is_told(
    browser: Browser, database: Database, postgres_url: str, redis_url: str
) -> None:
    """With cookies as a real browser sends them back from another site: `localhost` is another one than 127.0.0.1."""
    with provider("localhost") as school:
        given = {
            "POSTGRES_URL": postgres_url,
            "REDIS_URL": redis_url,
            "SECRET_KEY": SECRET,
            "OIDC_ISSUER": school.issuer,
            "OIDC_CLIENT_ID": CLIENT,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_NAME": "Our school",
            "DASHBOARD_ACCESS": "accounts",
        }
        async with serving(**{f"CLASSPULSE_{name}": value for name, value in given.items()}) as (port, _):
            page = await asked(browser, f"http://127.0.0.1:{port}/")
            link = page.get_by_role("link", name="Log in with Our school")
            await link.click()
            await expect(page.get_by_role("alert")).to_contain_text("no account for you", timeout=ROSTER_MS)
            assert await violations(page) == []
            await identities.link(database, "teacher", school.issuer, "sub", school.who["sub"], by="cli:x")
            await link.click()
            await expect(page.get_by_test_id("who")).to_have_text("Teacher", timeout=ROSTER_MS)
            assert page.url.partition("#")[0] == f"http://127.0.0.1:{port}/"
            assert await page.evaluate("document.cookie") == ""
            await page.reload()
            await expect(page.get_by_test_id("who")).to_have_text("Teacher", timeout=ROSTER_MS)
