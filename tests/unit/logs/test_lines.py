"""An exception's local variables stay out of the log; rich, which would show them, is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rich

PROJECT = Path(__file__).parents[3]
SECRET = "hunter2"  # not in the program, of which a traceback shows lines
PROGRAM = """
import logging, logging.config, os, structlog
from logs import lines

logging.config.dictConfig(lines.config(os.environ["FORMAT"], "INFO", {"chatty": "ERROR"}))

def fail(key):
    password = key
    return 1 / (len(password) - len(key))

for log in (structlog.get_logger("ours"), logging.getLogger("theirs")):
    try:
        fail(os.environ["KEY"])
    except ZeroDivisionError:
        log.exception("it failed")
logging.getLogger("chatty").warning("once more")
structlog.get_logger("ours").debug("a detail")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_an_exceptions_locals_do_not_reach_the_log(log_format: str) -> None:
    assert rich
    environment = {**os.environ, "FORMAT": log_format, "KEY": SECRET}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("ZeroDivisionError") == done.stderr.count("it failed") == 2  # ours and theirs
    assert "in fail" in done.stderr
    assert SECRET not in done.stderr
    if log_format == "json":
        said = [json.loads(line) for line in done.stderr.splitlines()]
        assert [(line["logger"], line["level"]) for line in said] == [("ours", "error"), ("theirs", "error")]
