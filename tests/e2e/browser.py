"""Makes a Chromium available to the page's tests, and writes down where it is, or why there is none.

`make test` runs this file first. It never fails: without a browser the tests that need one are skipped, and say why.
With `--look` nothing is installed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOUND = Path(__file__).parent.parent.parent / "build" / "chromium.json"  # {"executable": …} or {"reason": …}

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# With Debian's Chromium come the fonts the page is written in; without them its Japanese is empty boxes.
PACKAGES = ("chromium", "fonts-noto-cjk", "fonts-inter")
APT_S = 600
DOWNLOAD_S = 300


def find() -> str | None:
    """The browser CLASSPULSE_CHROMIUM names, one on the PATH, or Playwright's own."""
    named = os.environ.get("CLASSPULSE_CHROMIUM")
    for name in (named,) if named else NAMES:
        if path := shutil.which(name):
            return path
    if named:
        return None
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> str:
    """Tries Debian's package, then Playwright's download. Returns why neither gave a browser; "" where one did."""
    reasons = []
    if os.geteuid() == 0 and shutil.which("apt-get"):
        apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")
        say("no Chromium here; installing Debian's ...")
        reasons.append(run([*apt, "update"], APT_S) or run([*apt, "install", "-y", *PACKAGES], APT_S))
        if find():
            return ""
    else:
        reasons.append("Debian's package needs apt-get and root")
    say("downloading Playwright's own Chromium ...")
    reasons.append(run([sys.executable, "-m", "playwright", "install", "chromium"], DOWNLOAD_S))
    return "" if find() else "; ".join(filter(None, reasons))


def run(command: list[str], timeout_s: float) -> str:
    """Returns how it failed; "" where it did not."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    if done.returncode == 0:
        return ""
    told = [line.strip() for line in lines if line.startswith("E:") or "error" in line.lower()] or lines
    return f"{' '.join(command)}: {told[0] if told else f'exit code {done.returncode}'}"


def say(text: str) -> None:
    sys.stdout.write(f"browser: {text}\n")
    sys.stdout.flush()


def main() -> None:
    executable = find()
    reason = "there is no Chromium on this machine"
    if named := os.environ.get("CLASSPULSE_CHROMIUM"):
        reason = f"CLASSPULSE_CHROMIUM names {named}, which cannot be run"
    elif not executable and "--look" not in sys.argv:
        reason = install()
        executable = find()
    FOUND.parent.mkdir(exist_ok=True)
    FOUND.write_text(json.dumps({"executable": executable} if executable else {"reason": reason}))
    say(executable or f"none to be had, the page's tests will be skipped: {reason}")


if __name__ == "__main__":
    main()
