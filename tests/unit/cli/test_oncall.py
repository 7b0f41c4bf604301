"""What the gateway tells the one on call, as a terminal shows it."""

import io
from typing import Any

from rich.console import Console

from cli import oncall
from cli.desk import Told
from gateway.objectives import views
from gateway.objectives.promises import INGEST, WINDOWS_S, Count, standing
from gateway.oncall import status
from gateway.oncall.changes import Changes
from gateway.oncall.lookout import Look
from gateway.oncall.reasons import Audited, Level, Reason

HEALTH: dict[str, Any] = {"status": "warn", "reasons": ["redis is away"], "works": [], "checks": {}}


def lines(told: Told) -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    for each in oncall.shown(told):
        console.print(each, highlight=False)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def system(*wrong: Reason, bad: int = 0) -> dict[str, Any]:
    changes = Changes()
    changes.note(wrong, 1_000)
    kept = standing(INGEST, dict.fromkeys(WINDOWS_S, Count(1_000 - bad, 1_000)))
    look = Look(2_000, max((one.level for one in wrong), default=Level.OK), wrong, (), None, Audited(1, True, ""), "")
    told = status.view(look, changes, 2_000, 5, None).model_dump(mode="json")
    objectives = views.view([kept], None)
    return {**told, "objectives": [one.model_dump(mode="json") for one in objectives]}


def reason(says: str) -> Reason:
    return Reason(about="redis", level=Level.DEGRADED, rank=1, says=says, section="server_away", since_ms=500)


def test_the_verdict_comes_first_then_why_and_where_to_read_on() -> None:
    told = lines(Told(HEALTH, system(reason("redis is away"), bad=100)))
    assert told[0].startswith("degraded since ")
    assert told[0].endswith(": redis is away")
    assert told[1].split() == ["reason", "since", "runbook"]
    assert told[2].startswith("degraded")
    assert told[2].endswith("redis is away  docs/runbook.md#server_away")
    assert "probe: none is sent" in told
    assert any(line.startswith("audit: the last hour adds up") for line in told)
    (kept,) = (line for line in told if line.startswith("ingest"))
    assert kept.split()[1:6] == ["99.9%", "90%", "-9900.0%", "100.0", "100.0"]
    assert kept.endswith("too fast: docs/runbook.md#ingesterrors")
    assert [line.split()[1:4] for line in told if line.endswith("redis is away") and "ok" in line] == [
        ["system", "ok", "degraded"],
        ["redis", "ok", "degraded"],
    ]


def test_where_all_works_it_is_short() -> None:
    told = lines(Told(HEALTH, system()))
    assert told[0].endswith(": all works")
    assert not [line for line in told if "runbook" in line or "changed" in line]


def test_without_a_key_there_is_health_and_why_not_more() -> None:
    told = lines(Told(HEALTH, refusal="an admin's key is needed"))
    assert told[0] == "health: warn: redis is away"
    assert "an admin's key is needed" in told[1]
    assert lines(Told()) == ["the gateway does not answer"]


def test_a_terminal_obeys_nothing_of_it() -> None:
    told = "".join(lines(Told(HEALTH, system(reason("redis\x1b[2J [red]said")))))
    assert "\x1b" not in told
    assert r"redis\x1b[2J [red]said" in told
