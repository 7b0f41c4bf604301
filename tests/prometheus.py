"""Makes Prometheus and its promtool available to the tests, in the cache: Debian's package, unpacked and not installed,
so that no service starts.

`make test` runs this file first. It never fails: where they cannot be had, the tests that want them are skipped.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from running import CACHE

FOLDER = CACHE / "prometheus"
APT_S = 300


def find(program: str) -> str | None:
    """`prometheus` or `promtool`: one on the PATH, or in the cache."""
    return shutil.which(program) or shutil.which(program, path=str(FOLDER / "usr" / "bin"))


def fetch() -> str:
    """Why there is none; "" where there is."""
    if platform.system() != "Linux" or not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return "no Prometheus on the PATH, and no apt-get to have Debian's"
    with tempfile.TemporaryDirectory() as folder:
        if _run(["apt-get", "-qq", "download", "prometheus"], folder):
            if os.geteuid() == 0:
                _run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "update"], folder)
            if wrong := _run(["apt-get", "-qq", "download", "prometheus"], folder):
                return wrong
        (package,) = Path(folder).glob("prometheus_*.deb")
        if wrong := _run(["dpkg-deb", "-x", str(package), "unpacked"], folder):
            return wrong
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.move(Path(folder) / "unpacked", FOLDER)
    return "" if find("promtool") else "Debian's package has no promtool"


def _run(command: list[str], folder: str) -> str:
    """How it failed; "" where it did not."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=APT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    return "" if done.returncode == 0 else f"{' '.join(command)}: {done.stderr.strip()[-300:]}"


def main() -> None:
    wrong = "" if find("prometheus") and find("promtool") else fetch()
    if wrong:
        sys.stdout.write(f"prometheus: none to be had, its tests will be skipped: {wrong}\n")


if __name__ == "__main__":
    main()
