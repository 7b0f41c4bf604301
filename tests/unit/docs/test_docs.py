"""Documentation as fact: each setting, topic, metric and route has its row in docs/, and each row is about one that is.

A failure names the row to write.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from batching import telemetry as batches
from gateway import telemetry as viewers
from gateway.settings import GatewaySettings
from pipelines import telemetry
from pipelines.settings import AggregateSettings, HistorySettings, LiveSettings, WorkerSettings
from traces import telemetry as traces
from wire import topics
from wire.dead_letters import Reason
from wire.topics import Topic

PROJECT = Path(__file__).parents[3]
DOCS = PROJECT / "docs"
_BETWEEN = " | "
_RULE = set("|-")


def _rows(page: str, columns: int) -> set[str]:
    """The rows of the page's tables with that many columns, without their headings and rules."""
    lines = [line.strip() for line in (DOCS / page).read_text().splitlines()]
    rows = {
        _row(*line.strip("|").split("|"))
        for line, below in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("|") and not set(line) <= _RULE and not (set(below) <= _RULE and below)
    }
    return {row for row in rows if row.count(_BETWEEN) == columns - 1}


def _row(*cells: object) -> str:
    return _BETWEEN.join(str(cell).strip() for cell in cells)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return f"`{value}`" if value != "" else "empty"


def _setting_rows(settings: type[BaseSettings]) -> set[str]:
    return {
        _row(f"`CLASSPULSE_{name.upper()}`", _default(field), field.description)
        for name, field in settings.model_fields.items()
    }


SETTINGS = (GatewaySettings, WorkerSettings, AggregateSettings, LiveSettings, HistorySettings)


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_has_its_row(settings: type[BaseSettings]) -> None:
    assert _setting_rows(settings) <= _rows("configuration.md", 3)


def test_every_variable_in_the_code_is_documented_and_none_besides() -> None:
    sources = [path for room in ("stack", "cli", "producers", "tests") for path in (PROJECT / room).rglob("*.py")]
    settings = {f"CLASSPULSE_{name.upper()}" for cls in SETTINGS for name in cls.model_fields}
    named = {name for path in sources for name in re.findall(r"CLASSPULSE_[A-Z][A-Z_]*[A-Z]", path.read_text())}
    documented = {name for row in _rows("configuration.md", 3) for name in re.findall(r"^`(CLASSPULSE_\w+)`", row)}
    assert documented == settings | named


def _metrics() -> Iterable[MetricWrapperBase]:
    defined = [*vars(telemetry).values(), *vars(batches).values(), *vars(viewers).values(), *vars(traces).values()]
    return (value for value in defined if isinstance(value, MetricWrapperBase) and not value._labelvalues)


def _metric_row(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return _row(f"`{name}`", family.type, labels, family.documentation)


def test_every_metric_has_its_row_and_no_other_is_told() -> None:
    assert {_metric_row(metric) for metric in _metrics()} == _rows("metrics.md", 4)


def _kept(topic: Topic) -> str:
    return "newest of each key" if topic.retention_ms is None else f"{topic.retention_ms / 86_400_000:g} d"


def test_every_topic_has_its_row_and_no_other_is_told() -> None:
    rows = {
        _row(
            f"`{topic.name}`",
            topic.about,
            topic.key,
            topic.partitions,
            _kept(topic),
            ", ".join(topic.writers) or "-",
            ", ".join(topic.readers) or "-",
        )
        for topic in topics.load().values()
    }
    assert rows == _rows("topics.md", 7)


def test_every_reason_of_a_dead_letter_is_explained() -> None:
    explained = {row.partition(_BETWEEN)[0] for row in _rows("topics.md", 2)}
    assert set(Reason) <= set(re.findall(r"`(\w+)`", " ".join(explained)))
