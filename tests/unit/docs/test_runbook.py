"""The runbook has a section for each verdict, from the worst to the best, and says what each cause means."""

import re
from pathlib import Path

from gateway.lag.causes import Cause
from gateway.lag.states import State

DOCS = Path(__file__).parents[3] / "docs"
VERDICTS = (DOCS / "runbook.md").read_text().partition("\n# Alerts\n")[0]  # below: tests/unit/ops/test_monitoring.py


def test_each_verdict_has_its_section_the_worst_first() -> None:
    sections = re.findall(r"^## (\w+)$", VERDICTS, re.MULTILINE)
    assert sections == [state.value for state in sorted(State, key=lambda state: -state.severity)]


def test_each_section_says_what_it_means() -> None:
    for section in VERDICTS.split("\n## ")[1:]:
        name, _, text = section.partition("\n")
        assert "**Means.**" in text, name
        if not State(name).fine:
            assert "**Do.**" in text or "| do |" in text, name


def test_each_cause_is_explained() -> None:
    for page in ("runbook.md", "api.md"):
        text = (DOCS / page).read_text()
        assert not [cause for cause in Cause if cause is not Cause.NONE and f"`{cause.value}`" not in text], page
