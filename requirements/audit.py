"""Asks whether anything pinned has a known vulnerability; `make check` runs it.

    python requirements/audit.py FILE...

PyPI knows (pip-audit asks it). Where it cannot be reached that is said, and is no failure: without a network the other
checks are as good as ever.
"""

import json
import subprocess
import sys
from typing import Any

WITHIN_S = 15
ANSWER_WITHIN_S = 5  # of one


def main(files: list[str]) -> int:
    """0: none known, or nobody to ask; 1: some are."""
    asked = [part for file in files for part in ("--requirement", file)]
    # With hashes everything is named, so nothing has to be resolved or downloaded.
    how = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", *how, "--timeout", str(ANSWER_WITHIN_S), *asked]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S)
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return not_asked(f"no answer within {WITHIN_S} s")
    except json.JSONDecodeError:
        said = done.stderr.strip().splitlines()
        return not_asked(said[-1] if said else f"pip-audit ended with {done.returncode}")
    packages = found["dependencies"]
    wrong = [(package, known) for package in packages for known in package.get("vulns", [])]
    for package, known in wrong:
        mended = ", ".join(known["fix_versions"]) or "none yet"
        print(f"{package['name']} {package['version']}: {known['id']}; mended in {mended}")
    print(f"{len(packages)} packages audited, {len(wrong)} known vulnerabilities")
    return 1 if wrong else 0


def not_asked(why: str) -> int:
    print(f"Dependencies were not audited, as PyPI could not be asked: {why}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
