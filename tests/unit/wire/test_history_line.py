"""Line protocol: what a scope or label may hold must not change where a point lies."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.history import line
from wire.metrics import Metric, MetricPoint, State

FIELDS = ' value=2.5,n=3i,as_of_ms=61000i,window_s=60i,state="provisional",watermark_ms=0i 1000'


def _point(label: str = "") -> MetricPoint:
    return MetricPoint(
        metric=Metric.EVENTS_PER_MINUTE, label=label, window_s=60, start_ms=1_000, value=2.5, n=3, as_of_ms=61_000
    )


@pytest.mark.parametrize(
    ("scope", "label", "expected"),
    [
        ("course:py101", "", "events_per_minute,scope=course:py101"),
        ("course:py101", "code_run", "events_per_minute,scope=course:py101,label=code_run"),
        ("course:a b,c=d", "", r"events_per_minute,scope=course:a\ b\,c\=d"),
        (r"student:SCHOOL\yuki", "", r"events_per_minute,scope=student:SCHOOL\yuki"),
        (r"student:a\ b", "", r"events_per_minute,scope=student:a\\ b"),  # read back by influxd as it was
        ('student:"生徒"', "", 'events_per_minute,scope=student:"生徒"'),
        ("school:all", "", "events_per_minute,scope=school:all"),
    ],
)
def test_special_characters_are_escaped(scope: str, label: str, expected: str) -> None:
    assert line(scope, _point(label)) == expected + FIELDS


def test_state_and_watermark_are_said_whatever_they_are() -> None:
    point = msgspec.structs.replace(_point(), state=State.CORRECTED, watermark_ms=1_768_471_260_000)
    assert ',state="corrected",watermark_ms=1768471260000i ' in line("course:c", point)


def test_values_keep_all_their_digits() -> None:
    point = MetricPoint(metric=Metric.ERROR_RATE, window_s=300, start_ms=0, value=1 / 3, n=3, as_of_ms=0)
    assert " value=0.3333333333333333," in line("course:c", point)


def _read(text: str) -> tuple[str, str]:
    """Scope and the rest, read as influxd does: only the one character before a comma, blank or equals sign counts."""
    end = next(i for i, character in enumerate(text) if character == " " and text[i - 1] != "\\")
    return re.sub(r"\\([,= ])", r"\1", text[:end].removeprefix("events_per_minute,scope=")), text[end:]


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda text: not text.endswith("\\")))
def test_a_reader_finds_the_scope_again(text: str) -> None:
    assert _read(line(f"course:{text}", _point())) == (f"course:{text}", FIELDS)
