"""The page while 153 students are at work: every view can be read by everybody, fits a phone, and never stutters."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from running import PATIENCE, PROJECT, RunningStack
from viewing import DESKTOP, PHONE, ROSTER_MS, SOON_MS, Lesson, live, opened

AXE = PROJECT / "web" / "node_modules" / "axe-core" / "axe.min.js"
WATCHED_S = 12  # with the overview's answer in it, which comes every five
LONG_MS = 100 * PATIENCE
REDRAWS_PER_S = 4

Picture = Callable[[Page, str], Awaitable[None]]

# Before the page's own script: what it counts is all the page does from then on.
COUNTING = """
    window.frames_asked = 0;
    const ask = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (callback) => { window.frames_asked += 1; return ask(callback); };
"""


@pytest.fixture
async def lesson(running_stack: RunningStack, tmp_path: Path) -> AsyncIterator[Lesson]:
    lesson = await Lesson.begun(running_stack, tmp_path)
    going_on = asyncio.create_task(lesson.go_on())
    yield lesson
    going_on.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await going_on


async def watched(browser: Browser, page: Page) -> tuple[float, float]:
    """How often a second it was redrawn, and the longest task of its main thread, ms.

    A task's length is the processor's time that it took: what the browser reports as long tasks also counts the time in
    which others had the processor, which on two cores beside a whole stack says little of the page.
    """
    await page.evaluate("window.frames_asked = 0; window.since_ms = performance.now()")
    await browser.start_tracing(page=page, categories=["toplevel"])
    await page.wait_for_timeout(1000 * WATCHED_S)
    redraws: float = await page.evaluate("1000 * window.frames_asked / (performance.now() - window.since_ms)")
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event.get("tdur", event["dur"]) for event in events if "dur" in event and (event["pid"], event["tid"]) in main
    ]
    return redraws, max(tasks) / 1000


async def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps people from reading or using the page."""
    await page.evaluate(f"window.axe ?? (() => {{ {AXE.read_text()} }})()")
    found: dict[str, Any] = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


async def test_153_students_at_work_make_no_long_task_and_every_view_is_for_everybody(
    browser: Browser, lesson: Lesson, picture: Picture
) -> None:
    views = dict(lesson.views())
    page, errors = await opened(browser, lesson.dashboard, views["course"], script=COUNTING)
    await expect(page.locator(".tile")).to_have_count(51, timeout=ROSTER_MS)
    redraws, longest_ms = await watched(browser, page)
    assert 0.5 < redraws <= REDRAWS_PER_S + 1 / WATCHED_S
    assert 0 < longest_ms <= LONG_MS
    assert errors == []

    for language, theme in (("en-GB", "light"), ("ja-JP", "dark")):
        page, errors = await opened(browser, lesson.dashboard, locale=language, color_scheme=theme)
        for name, address in views.items():
            await page.goto(f"{lesson.dashboard}/{address}")
            await expect(page.locator(".view-title")).to_be_visible(timeout=SOON_MS)
            await page.wait_for_timeout(600)  # history and a redraw: the picture is worth looking at
            await picture(page, f"{name}-{language[:2]}-{theme}")
            assert await serious(page) == [], f"{name}, {language}, {theme}"
            await page.set_viewport_size(PHONE)
            await page.wait_for_timeout(300)
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} in {language} is {wide} px wider than a phone"
            await picture(page, f"{name}-{language[:2]}-{theme}-phone")
            await page.set_viewport_size(DESKTOP)
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await picture(page, f"keys-{language[:2]}-{theme}")
        assert await serious(page) == [], f"keys, {language}, {theme}"
        await live(page)
        assert errors == []
