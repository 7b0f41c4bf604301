import contextlib
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright
from running import PATIENCE, PROJECT, RunningStack
from viewing import Course

CHROMIUM = PROJECT / "build" / "chromium.json"  # browser.py writes it

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


@pytest.fixture(scope="module")
def running_stack(servers_dir: Path) -> Iterator[RunningStack]:
    """Everything, as `make up` starts it, but without the demo classroom. Not for longer: it is never quite idle."""
    stack = RunningStack(servers_dir / f"stack-{uuid.uuid4().hex[:8]}")
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(stack.down)
        stack.run("up", "--empty", "--detach", timeout_s=180)
        yield stack


@pytest.fixture
def own_stack(servers_dir: Path, request: pytest.FixtureRequest) -> Iterator[RunningStack]:
    """Not started yet; down after the test, and nothing of it is left."""
    stack = RunningStack(servers_dir / request.node.name)
    yield stack
    stack.down()
    assert stack.left_running() == []
    shutil.rmtree(stack.home, ignore_errors=True)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Skips, saying why, where there is no browser. `make test` installs one; this only looks."""
    if not CHROMIUM.exists():
        look = [sys.executable, str(Path(__file__).parent / "browser.py"), "--look"]
        subprocess.run(look, check=True, timeout=60 * PATIENCE)
    found = json.loads(CHROMIUM.read_text())
    if "reason" in found:
        pytest.skip(found["reason"])
    return str(found["executable"])


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        await browser.close()


@pytest.fixture
def course(running_stack: RunningStack, tmp_path: Path) -> Course:
    return Course.enrolled(running_stack, tmp_path)


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], Awaitable[None]]:
    """Keeps what the page shows for a person to look at, in the folder that `--pictures` names."""
    folder: Path = request.config.getoption("--pictures")

    async def take(page: Page, name: str) -> None:
        await page.screenshot(path=folder / f"{name}.png")

    return take
