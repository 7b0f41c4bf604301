"""What is thought of an objective by its counts, and that Prometheus' rules think the same."""

import re
from pathlib import Path

import pytest
import yaml

from gateway.objectives import observed
from gateway.objectives.promises import (
    BURNS,
    CORRECTNESS,
    FRESHNESS,
    HOUR_S,
    INGEST,
    MONTH_S,
    OBJECTIVES,
    WINDOWS_S,
    Count,
    standing,
)

PROJECT = Path(__file__).parents[4]
RULES = {
    rule.get("record") or rule["alert"]: rule["expr"]
    for group in yaml.safe_load((PROJECT / "ops" / "prometheus" / "slo.yml").read_text())["groups"]
    for rule in group["rules"]
}
NAMES = {INGEST: "IngestErrors", FRESHNESS: "LiveLate"}


def counts(bad: int, total: int, **others: tuple[int, int]) -> dict[int, Count]:
    """In all windows; `others`: bad and total of w300 and so on."""
    found = {window_s: Count(total - bad, total) for window_s in WINDOWS_S}
    return found | {int(name[1:]): Count(of - wrong, of) for name, (wrong, of) in others.items()}


def test_shares_budget_and_burn_rates() -> None:
    told = standing(
        INGEST, counts(0, 0, w300=(0, 50), w1800=(0, 80), w3600=(2, 100), w21600=(3, 1_000), w2592000=(4, 8_000))
    )
    assert told.share == pytest.approx(0.9995)
    assert told.budget_left == pytest.approx(0.5)
    assert told.burn_1h == pytest.approx(20)
    assert told.burn_6h == pytest.approx(3)
    assert (told.burning, told.month.bad) == (False, 4)


def test_nothing_counted_is_neither_good_nor_bad() -> None:
    told = standing(FRESHNESS, counts(0, 0))
    assert (told.share, told.budget_left, told.burn_1h, told.burn_6h, told.burning) == (None, None, None, None, False)


def test_more_than_all_may_be_spent() -> None:
    assert standing(FRESHNESS, counts(50, 1_000)).budget_left == pytest.approx(-4)


def test_where_all_is_promised_there_is_no_budget() -> None:
    told = standing(CORRECTNESS, counts(1, 10))
    assert (told.share, told.budget_left, told.burn_1h, told.burning) == (0.9, None, None, True)
    assert not standing(CORRECTNESS, counts(0, 10)).burning


@pytest.mark.parametrize(
    ("found", "burning"),
    [
        (counts(20, 1_000), True),
        (counts(20, 1_000, w300=(0, 100), w1800=(0, 100)), False),  # it is over
        (counts(20, 1_000, w3600=(9, 100)), False),  # of so few nobody is woken
        (counts(10, 1_000), True),  # 10 times too fast: in six hours
        (counts(10, 1_000, w1800=(1, 1_000)), False),
        (counts(5, 1_000, w3600=(20, 5_000)), False),
        (counts(0, 0), False),
    ],
)
def test_it_burns_fast_over_a_long_window_and_still(found: dict[int, Count], burning: bool) -> None:
    assert standing(INGEST, found).burning is burning


def test_prometheus_counts_the_same_requests() -> None:
    wanted = f'route=~"{observed.DOORS}",method=~"{"|".join(observed.METHODS)}"'
    assert f"{{{wanted}}}" in RULES["classpulse:ingest_requests:rate1m"]
    assert f'{{{wanted},status_class="5xx"}}' in RULES["classpulse:ingest_errors:rate1m"]
    assert f'{{at="paint",le="{observed.WITHIN_S}"}}' in RULES["classpulse:live_late:rate1m"]


@pytest.mark.parametrize("objective", NAMES)
def test_prometheus_wakes_for_the_same(objective: object) -> None:
    assert objective in OBJECTIVES
    words = {300: "5m", 1_800: "30m", HOUR_S: "1h", 6 * HOUR_S: "6h", MONTH_S: "30d"}
    one = next(each for each in OBJECTIVES if each is objective)
    rule = RULES[NAMES[one]]
    limits = [
        (words[window_s], f"{rate:g}", f"{one.allowed:g}") for rate, *windows_s in BURNS for window_s in windows_s
    ]
    assert re.findall(r"ratio(\w+) > ([\d.]+) \* ([\d.]+)", rule) == limits
    assert re.findall(r"increase1h >= (\d+)", rule) == [str(one.least_bad)]
    assert one.section == NAMES[one].lower()


def test_each_objective_is_in_the_page_with_its_target_and_has_a_section_in_the_runbook() -> None:
    page = (PROJECT / "docs" / "slo.md").read_text()
    sections = re.findall(r"^#+ (\w+)$", (PROJECT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    for one in OBJECTIVES:
        assert f"| `{one.name}` | {one.promise} | {100 * (1 - one.allowed):g} % |" in page
        assert one.section in [section.lower() for section in sections]
