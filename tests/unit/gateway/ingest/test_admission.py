"""What is held against the key, the roster and the clock before an event goes to Kafka."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.ingest.admission import admitted
from gateway.ingest.judge import Posted, Rejection
from gateway.roster import Roster
from gateway.security.keys import ApiKey, Role
from wire.events import ActivityEvent

NOW = datetime(2026, 1, 15, 0, 30, tzinfo=UTC)
NOW_MS = 1_768_437_000_000
SKEW_S = 300
ROSTER = Roster({"py101": "Python"}, {}, {"s1": "Kim"}, {("py101", "s1"): "t1"})
GOOD_ID = "0190a3e0-0000-7000-8000-000000000001"


def one(
    courses: frozenset[str] | None = None, correction_ms: int | None = None, **changes: Any
) -> ActivityEvent | Rejection:
    sent = {"event_id": GOOD_ID, "student_id": "s1", "course_id": "py101", "kind": "code_run", "occurred_at": NOW}
    key = ApiKey("lms", "cp_12345", Role.PRODUCER, courses, NOW, None)
    return admitted(msgspec.convert({**sent, **changes}, Posted), key, ROSTER, NOW_MS, SKEW_S, correction_ms)


def test_the_key_names_the_source_and_the_roster_the_team() -> None:
    event = one(team_id="elsewhere")
    assert isinstance(event, ActivityEvent)
    assert (event.event_id, event.source, event.team_id) == (GOOD_ID, "lms", "t1")
    assert event.occurred_at_ms == event.received_at_ms == NOW_MS
    stranger = one(student_id="s2", team_id="t9")
    assert isinstance(stranger, ActivityEvent)
    assert stranger.team_id == "t9"


def test_an_event_without_an_id_gets_one_of_its_own() -> None:
    first, second = one(event_id=None), one(event_id=None)
    assert first.event_id
    assert first.event_id != second.event_id


def test_a_verb_is_kept_of_what_no_kind_says() -> None:
    other, known = one(kind="other", verb="danced"), one(verb="ran")
    assert isinstance(other, ActivityEvent)
    assert isinstance(known, ActivityEvent)
    assert (other.verb, known.verb) == ("danced", None)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("1970-01-01T00:00:00Z", "is not after 1970-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "is not after 1970-01-01T00:00:00Z"),
        ("2026-01-15T00:35:00.001Z", "is more than 300 s ahead of the door's clock"),
        ("9999-12-31T23:59:59-14:00", "is more than 300 s ahead of the door's clock"),
    ],
)
def test_a_time_that_cannot_be_is_rejected_under_the_events_id(at: str, reason: str) -> None:
    assert one(occurred_at=at) == Rejection(GOOD_ID, "occurred_at", reason)


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00.001Z", "2026-01-15T00:35:00Z"])
def test_the_edges_of_time_are_in(at: str) -> None:
    assert isinstance(one(occurred_at=at), ActivityEvent)


def test_another_course_than_the_keys_is_rejected() -> None:
    assert isinstance(one(frozenset({"py101"})), ActivityEvent)
    assert one(frozenset({"py102"})) == Rejection(
        GOOD_ID, "course_id", "the key 'lms' may not send events of this course"
    )


def test_a_clock_that_is_wrong_is_corrected_and_the_correction_kept() -> None:
    behind = one(occurred_at="2026-01-14T00:29:00Z", correction_ms=86_400_000)
    assert isinstance(behind, ActivityEvent)
    assert (behind.occurred_at_ms, behind.clock_correction_ms) == (NOW_MS - 60_000, 86_400_000)
    ahead = one(occurred_at="2026-01-16T00:29:00Z", correction_ms=-86_400_000)
    assert isinstance(ahead, ActivityEvent)
    assert ahead.occurred_at_ms == NOW_MS - 60_000
    uncorrected = one()
    assert isinstance(uncorrected, ActivityEvent)
    assert uncorrected.clock_correction_ms is None


def test_a_correction_that_leads_nowhere_is_told() -> None:
    late = one(occurred_at="2026-01-15T00:30:00Z", correction_ms=400_000)
    assert isinstance(late, Rejection)
    assert late.reason.endswith("ahead of the door's clock, corrected by 400000 ms for when it was sent")
    assert isinstance(one(correction_ms=-NOW_MS), Rejection)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"course_id": "classpulse.probe"}, "course_id"),
        ({"student_id": "classpulse.probe.3"}, "student_id"),
        ({"student_id": "classpulse.probe.x", "course_id": "classpulse.probe"}, "course_id"),
    ],
)
def test_the_ids_of_probes_are_taken_from_nobody(changes: dict[str, Any], field: str) -> None:
    """What has them counts nowhere, so nobody's event may."""
    refused = one(**changes)
    assert isinstance(refused, Rejection)
    assert (refused.field, refused.reason) == (field, "is reserved for the gateway's own probes")
