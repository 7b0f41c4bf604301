"""What an event may hold, and that bytes written by any version go on decoding."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import events
from wire.events import ID_MAX, ActivityEvent, Kind

GOLDEN = Path(__file__).parents[2] / "golden"

PLAIN: dict[str, object] = {
    "event_id": "e1",
    "student_id": "s1",
    "course_id": "c1",
    "kind": "code_run",
    "occurred_at_ms": 1,
    "received_at_ms": 2,
    "source": "test",
}

# No control characters, no lone surrogates, no backslash at the end: what ids may be.
_character = st.characters(exclude_categories=["Cs"], exclude_characters=[chr(n) for n in (*range(32), 127)])
_id = st.text(_character, min_size=1, max_size=ID_MAX).filter(lambda text: not text.endswith("\\"))
_team = _id.filter(lambda text: "/" not in text)
_event = st.builds(
    ActivityEvent,
    event_id=_id,
    student_id=_id,
    course_id=_id,
    kind=st.sampled_from(Kind),
    occurred_at_ms=st.integers(-(2**53), 2**53),
    received_at_ms=st.integers(0, 2**53),
    source=_id,
    team_id=st.none() | _team,
    task_id=st.none() | _id,
    score=st.none() | st.floats(0, 1),
    success=st.none() | st.booleans(),
    duration_s=st.none() | st.floats(0, 86_400),
    clock_correction_ms=st.none() | st.integers(-(2**53), 2**53),
    verb=st.none() | _id,
)


@given(_event)
def test_an_event_survives_its_bytes(event: ActivityEvent) -> None:
    assert events.decode(events.encode(event)) == event


def test_bytes_of_version_1_go_on_decoding() -> None:
    first, second, third, fourth = map(events.decode, (GOLDEN / "activity-v1.jsonl").read_bytes().splitlines())
    assert first == ActivityEvent(
        event_id="0190a6e2-0000-7000-8000-000000000001",
        student_id="s-17",
        course_id="py101",
        kind=Kind.CELL_EXECUTED,
        occurred_at_ms=1_735_689_600_000,
        received_at_ms=1_735_689_600_250,
        source="notebook",
    )
    assert second == ActivityEvent(
        event_id="0190a6e2-0000-7000-8000-000000000002",
        student_id="生徒7",
        course_id="数学/基礎",
        kind=Kind.ANSWER_SUBMITTED,
        occurred_at_ms=1_735_689_601_000,
        received_at_ms=1_735_689_601_001,
        source="lms",
        team_id="チームA",
        task_id="https://example.org/xapi/q?id=3&part=1",
        score=0.75,
        success=True,
        duration_s=12.5,
    )
    assert (third.occurred_at_ms, third.team_id, third.score, third.success) == (-1, None, 0.0, False)
    assert fourth.kind is Kind.HELP_REQUESTED  # and its unknown field is ignored


def test_absent_fields_are_not_written() -> None:
    assert b"team_id" not in events.encode(events.decode(msgspec.json.encode(PLAIN)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", ""),
        ("student_id", "a\x00b"),
        ("student_id", "a\nb"),
        ("student_id", "a\n"),
        ("student_id", "a\\"),  # line protocol cannot write a tag that ends in a backslash
        ("student_id", "a\x7fb"),
        ("student_id", 7),
        ("course_id", "x" * (ID_MAX + 1)),
        ("team_id", "a\n"),
        ("team_id", "a/b"),  # the last slash of a team scope is the border
        ("kind", "code_runs"),
        ("occurred_at_ms", "2025-01-01T00:00:00Z"),
        ("occurred_at_ms", 1.5),
        ("score", 1.0001),
        ("score", -0.1),
        ("success", "yes"),
        ("duration_s", -1),
        ("duration_s", 86_401),
        ("verb", "a\nb"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{field}"):
        events.decode(msgspec.json.encode(PLAIN | {field: value}))


@pytest.mark.parametrize("field", PLAIN)
def test_a_required_field_is_missed_by_name(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        events.decode(msgspec.json.encode({key: value for key, value in PLAIN.items() if key != field}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 10_000,
        msgspec.json.encode(PLAIN).replace(b'"s1"', b'"\\ud800"'),  # a lone surrogate cannot be written as UTF-8
        msgspec.json.encode(PLAIN).replace(b"}", b',"score":NaN}'),
    ],
)
def test_what_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        events.decode(data)
