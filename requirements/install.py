"""Installs a requirements file into this interpreter's environment, and shows how far it is.

    python requirements/install.py FILE

pip says nothing for minutes with -q, and too much without. Standard library only: nothing is installed yet.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

STEP = re.compile(r"(?:Collecting|Requirement already satisfied:) ([^=\s]+)==")  # pip's line of each package
TAIL_LINES = 15


def main(file: Path) -> int:
    packages = sum("==" in line for line in file.read_text().splitlines())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off"]
    process = subprocess.Popen(
        [*pip, "--require-hashes", "-r", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    began = time.monotonic()
    lines: list[str] = []
    done = 0
    for line in process.stdout or ():
        lines.append(line.rstrip())
        if step := STEP.match(line):
            done += 1
            show(f"packages: {done} of {packages}, {step[1]}")
        elif line.startswith("Installing collected packages"):
            show(f"packages: {done} downloaded, unpacking them")
    code = process.wait()
    if code:
        print("\n".join(["", *lines[-TAIL_LINES:]]), file=sys.stderr)
        print(f"pip ended with {code}. Check the network and the disk, then say `make up` again.", file=sys.stderr)
    else:
        show(f"packages: {packages} there, after {time.monotonic() - began:.0f} s")
        print()
    return code


def show(text: str) -> None:
    """Over the line before, on a terminal."""
    if sys.stdout.isatty():
        print(f"\r  {text:<76.76}", end="", flush=True)
    elif "after" in text:
        print(f"  {text}", end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
