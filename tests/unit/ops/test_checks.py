"""What `make check` says where the network is away, and of a secret in a file."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

PROJECT = Path(__file__).parents[3]
# Put together here, so that this file holds none.
AWS = "AKIA" + "IOSFODNN7EXAMPLQ"


def _run(
    *command: str, folder: Path = PROJECT, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_an_audit_that_can_ask_nobody_says_so_and_is_no_failure() -> None:
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:1") | {"NO_PROXY": "", "no_proxy": ""}
    done = _run("requirements/audit.py", "requirements/dev.txt", environment=nowhere)
    assert (done.returncode, "were not audited, as PyPI could not be asked" in done.stdout) == (0, True), done


def test_a_secret_in_a_file_is_found_and_one_that_was_looked_at_is_not(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "leaks.py").write_text((PROJECT / "tests" / "leaks.py").read_text())
    (tmp_path / "keys.py").write_text(f'aws = "{AWS}"\n')
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert _run("tests/leaks.py", "--accept", folder=tmp_path).returncode == 0
    accepted = _run("tests/leaks.py", folder=tmp_path)
    assert (accepted.returncode, "0 found" in accepted.stdout) == (0, True), accepted
    (tmp_path / "other.py").write_text(f'aws = "{AWS}"\n')
    new = _run("tests/leaks.py", folder=tmp_path)
    assert (new.returncode, "other.py:1: AWS Access Key" in new.stdout) == (1, True), new
