"""Looks through everything that is to be committed for passwords, keys and tokens; `make check` runs it.

What looks like one and is none, an example or a test's own, is in `.secrets.baseline`: whoever adds to it has looked.
`python tests/leaks.py --accept` writes it anew.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from detect_secrets.core import baseline
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

PROJECT = Path(__file__).parent.parent
BASELINE = ".secrets.baseline"
# Made by programs, and full of digests.
MADE = re.compile(rf"^requirements/.*\.txt$|package-lock\.json$|go\.sum$|\.(png|svg)$|^{re.escape(BASELINE)}$")

# Of all there are, half, as each looks at every line: the keys of clouds and chats that others know, entropy finds too.
KINDS = (
    *("PrivateKeyDetector", "BasicAuthDetector", "KeywordDetector", "JwtTokenDetector"),
    *("AWSKeyDetector", "GitHubTokenDetector", "GitLabTokenDetector", "PypiTokenDetector", "NpmDetector"),
)
PLUGINS = [
    *({"name": name} for name in KINDS),
    {"name": "Base64HighEntropyString", "limit": 4.5},
    {"name": "HexHighEntropyString", "limit": 3.0},
]


def main(arguments: list[str]) -> int:
    files = [file for file in _files() if not MADE.search(file)]
    os.chdir(PROJECT)  # names are as git has them
    with transient_settings({"plugins_used": PLUGINS}):
        found = SecretsCollection()
        found.scan_files(*files)
        if arguments == ["--accept"]:
            baseline.save_to_file(baseline.format_for_output(found, is_slim_mode=True), BASELINE)
            return 0
        known = baseline.load(baseline.load_from_file(BASELINE), BASELINE)
    new = list(found - known)
    for file, secret in new:
        print(f"{file}:{secret.line_number}: {secret.type}")
    print(f"{len(files)} files looked through for secrets, {len(new)} found")
    return 1 if new else 0


def _files() -> list[str]:
    """What git has, or would add. Raises CalledProcessError or OSError where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [file for file in listed.stdout.splitlines() if (PROJECT / file).is_file()]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
