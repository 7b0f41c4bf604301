"""A machine that ran only `make up` has only requirements/run.txt."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

PROJECT = Path(__file__).parents[3]


def _pinned(name: str) -> dict[str, str]:
    text = (PROJECT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==(\S+)", text, re.MULTILINE))


def test_the_tests_run_with_what_runs() -> None:
    run, dev = _pinned("run"), _pinned("dev")
    assert run
    assert {name: dev.get(name) for name in run} == run


def test_nothing_that_runs_needs_what_only_the_tests_install() -> None:
    only_tests = _pinned("dev").keys() - _pinned("run").keys()
    modules = [
        module
        for module, distributions in packages_distributions().items()
        if {re.sub(r"[-_.]+", "-", name).lower() for name in distributions} <= only_tests
    ]
    assert "pytest" in modules
    rooms = ("wire", "logs", "traces", "batching", "pipelines", "gateway", "stack", "producers", "cli")
    ours = [
        ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        for room in rooms
        for path in (PROJECT / room).rglob("*.py")
        if path.stem not in ("__init__", "__main__") and "migrations" not in path.parts
    ]
    script = f"import sys, importlib\nsys.modules.update(dict.fromkeys({modules}))\n" + "".join(
        f"importlib.import_module({module!r})\n" for module in ours
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
