"""The worst first, the cause before what comes of it; and each names a section that the runbook has."""

import re
from pathlib import Path

from gateway.canary import Round
from gateway.lag.states import State
from gateway.lag.summary import GroupVerdict
from gateway.oncall import reasons
from gateway.oncall.reasons import Audited, Level, Reason
from gateway.probes import Finding
from gateway.siblings import Silent
from wire.gateways import Sibling

RUNBOOK = Path(__file__).parents[4] / "docs" / "runbook.md"


def server(up: bool) -> Finding:
    return Finding(up, 2.0, "no answer", asked_at=20.0, since=10.0)


def group(name: str, state: State, since_s: float | None = 5.0) -> GroupVerdict:
    return GroupVerdict(
        group=name, state=state, since_s=since_s, says="it is so", confidence=1.0, counts={}, lag=0, lag_s=None,
        margin_s=None, lost_total=0, rate_in=0.0, rate_out=0.0,
    )  # fmt: skip


def everything() -> list[Reason]:
    return [
        *reasons.rates("no answer"),
        *reasons.gateways([Silent(Sibling("a", "here", 7), 9.2)], 100_000),
        *reasons.probe(Round(5.0, 100.0, None, "Kafka is not connected")),
        *reasons.audit(Audited(1, False, "3 events do not add up")),
        *reasons.pipelines({"live": 90_000}, {}),
        *reasons.groups([group(state.value, state) for state in State], now_s=8.0, now_ms=100_000),
        *reasons.servers({name: server(False) for name in ("redis", "history", "postgresql", "kafka")}),
    ]


def test_the_cause_comes_before_what_comes_of_it() -> None:
    told = reasons.worst_first(everything())
    assert [one.about for one in told] == [
        *("kafka", "group losing_data", "audit", "postgresql"),
        *("redis", "history", "gateway here 7", "group stopped", "group stalled", "workers live"),
        *("group rewound", "group falling_behind", "probe", "group catching_up", "rate limits"),
        "group unknown",
    ]
    assert reasons.level(told) is Level.FAILING


def test_what_is_fine_is_no_reason() -> None:
    fine = [
        *reasons.servers({"kafka": server(True)}),
        *reasons.groups([group("live", State.OK), group("history", State.IDLE)], 0.0, 0),
        *reasons.probe(None),
        *reasons.probe(Round(5.0, 3.0, 0.2, "")),
        *reasons.audit(None),
        *reasons.audit(Audited(1, True, "")),
        *reasons.rates(None),
    ]
    assert (fine, reasons.level(fine)) == ([], Level.OK)


def test_since_when_as_whoever_found_it_knows() -> None:
    by = {one.about: one for one in everything()}
    assert by["kafka"].since_ms == 10_000
    assert by["group stalled"].since_ms == 97_000
    assert by["workers live"].since_ms == 90_000
    assert by["probe"].since_ms is None
    assert by["gateway here 7"].since_ms == 90_800
    assert reasons.groups([group("live", State.UNKNOWN, None)], 0.0, 0)[0].since_ms is None


def test_its_words() -> None:
    by = {one.about: one.says for one in everything()}
    assert by["kafka"] == "kafka is away: no answer"
    assert by["group falling_behind"] == "falling_behind is falling behind: it is so"
    assert by["workers live"] == "no worker of live is ready: there is none"
    assert by["probe"] == "no probe has come back for 100 s: Kafka is not connected"
    assert by["gateway here 7"].startswith("the gateway's process 7 on here is silent for 9 s: ")
    assert reasons.pipelines({"live": 1}, {"live": "recovering"})[0].says == "no worker of live is ready: recovering"


def test_each_section_is_in_the_runbook() -> None:
    there = set(re.findall(r"^#+ (\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert {one.section for one in everything()} <= there
