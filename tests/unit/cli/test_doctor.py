"""What the doctor says of a machine, and that it looks at the one it runs on."""

import sys
from pathlib import Path

import pytest

from cli import doctor
from stack import jars
from stack.home import Home

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (doctor.python((3, 11, 0)), "ok"),
        (doctor.python((3, 10, 9)), "fail"),
        (doctor.processors(1), "warn"),
        (doctor.processors(2), "ok"),
        (doctor.memory(3 * GB, running=False), "ok"),
        (doctor.memory(int(1.5 * GB), running=False), "warn"),
        (doctor.memory(GB // 2, running=False), "fail"),
        (doctor.memory(GB // 2, running=True), "ok"),
        (doctor.disk(50 * GB, Path("/")), "ok"),
        (doctor.disk(2 * GB, Path("/")), "warn"),
        (doctor.disk(GB // 10, Path("/")), "fail"),
        (doctor.files(1024), "warn"),
        (doctor.files(4096), "ok"),
    ],
)
def test_the_verdict_and_what_to_do(finding: doctor.Finding, level: str) -> None:
    assert finding.level == level
    assert bool(finding.advice) == (level != "ok")


def test_a_damaged_jar_is_named(tmp_path: Path) -> None:
    one = jars.read()[0]
    jars.folder(tmp_path).mkdir()
    (jars.folder(tmp_path) / one.file).write_bytes(b"damaged")
    found = doctor.kafka_jars(tmp_path)
    assert found.level == "warn"
    assert one.file in found.found
    assert "sha256" in found.found


def test_a_program_that_is_not_there_or_does_not_run_is_told() -> None:
    missing = doctor.program("X", "no_such_wheel", list)
    assert (missing.level, "no_such_wheel" in missing.found) == ("fail", True)
    fails = doctor.program("X", "msgspec", lambda: [sys.executable, "-c", "raise SystemExit('broken')"])
    assert (fails.level, "broken" in fails.found) == ("fail", True)
    gone = doctor.program("X", "msgspec", lambda: ["/nowhere/program"], level="warn")
    assert gone.level == "warn"


def test_a_page_that_was_not_built_is_told(tmp_path: Path) -> None:
    assert doctor.page(tmp_path / "index.html").level == "warn"
    (tmp_path / "index.html").touch()
    assert doctor.page(tmp_path / "index.html").level == "ok"


def test_the_machine_that_runs_the_tests_can_run_the_stack(tmp_path: Path, cache_dir: Path) -> None:
    findings = list(doctor.look(Home(tmp_path / "none" / "yet", cache_dir)))
    assert {finding.about for finding in findings} >= {"Python", "memory", "disk", "ports", "Kafka", "Java", "InfluxDB"}
    assert [finding for finding in findings if finding.level == "fail"] == []
    assert not (tmp_path / "none").exists()  # looking leaves no trace
