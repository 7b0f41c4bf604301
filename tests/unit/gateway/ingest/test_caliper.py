"""Caliper envelopes: each profile's events, where what stands, and what is refused."""

import copy
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest import caliper
from gateway.ingest.ids import NO_COURSE
from gateway.ingest.judge import EVENTS_MAX, BodyError, Posted, Rejection
from wire import persons
from wire.events import Kind

ID = "0b4f2c1e-52a4-4c4e-9a1d-3f6b7b1c2d3e"
CONTEXT = "http://purl.imsglobal.org/ctx/caliper/v1p2"
PERSON = {"id": "urn:lms:user:s001", "type": "Person"}
SECTION = {"id": "py101", "type": "CourseSection", "courseNumber": "CPS 435"}
PAGE = {"id": "https://lms.example.org/pages/2", "type": "WebPage"}
EVENT: dict[str, Any] = {
    "@context": CONTEXT,
    "id": f"urn:uuid:{ID}",
    "type": "NavigationEvent",
    "actor": PERSON,
    "action": "NavigatedTo",
    "object": PAGE,
    "eventTime": "2026-01-15T00:30:00.250Z",
    "edApp": "https://lms.example.org",
    "group": SECTION,
    "membership": {"id": "https://lms.example.org/m/1", "type": "Membership", "organization": "elsewhere"},
}
ATTEMPT = {
    "id": "https://lms.example.org/quiz/1/attempts/1",
    "type": "Attempt",
    "assignee": "urn:lms:user:s002",
    "assignable": {"id": "https://lms.example.org/quiz/1", "type": "Assessment"},
    "duration": "PT5M",
}


def envelope(*data: object, **changes: Any) -> bytes:
    whole = {"sensor": "https://lms.example.org/sensors/1", "sendTime": "2026-01-15T00:30:05Z", "dataVersion": CONTEXT}
    return json.dumps({**whole, "data": data, **changes}).encode()


def verdict(**changes: Any) -> Posted | Rejection:
    (found,) = caliper.judge(envelope({**EVENT, **changes}), NO_COURSE)
    return found


def posted(**changes: Any) -> Posted:
    found = verdict(**changes)
    assert isinstance(found, Posted), found
    return found


def test_an_event() -> None:
    assert posted() == Posted(
        event_id=uuid.UUID(ID),
        student_id="urn:lms:user:s001",
        course_id="py101",
        kind=Kind.PAGE_VIEWED,
        occurred_at=datetime(2026, 1, 15, 0, 30, 0, 250_000, tzinfo=UTC),
        task_id="https://lms.example.org/pages/2",
    )


@pytest.mark.parametrize(
    ("event_type", "action", "kind"),
    [
        ("SessionEvent", "LoggedIn", Kind.SESSION_STARTED),
        ("SessionEvent", "http://purl.imsglobal.org/vocab/caliper/action#LoggedOut", Kind.SESSION_ENDED),
        ("ViewEvent", "Viewed", Kind.PAGE_VIEWED),
        ("AssessmentEvent", "Started", Kind.TASK_STARTED),
        ("AssessmentEvent", "Submitted", Kind.ANSWER_SUBMITTED),
        ("AssessmentItemEvent", "Completed", Kind.ANSWER_SUBMITTED),
        ("AssignableEvent", "Completed", Kind.TASK_COMPLETED),
        ("MediaEvent", "Started", Kind.VIDEO_PLAYED),
        ("MediaEvent", "JumpedTo", Kind.VIDEO_SEEKED),
        ("MediaEvent", "Ended", Kind.VIDEO_COMPLETED),
        ("MediaEvent", "Muted", Kind.CONTENT_INTERACTED),
        ("MessageEvent", "Posted", Kind.MESSAGE_POSTED),
        ("ToolUseEvent", "Used", Kind.CONTENT_INTERACTED),
        ("ResourceManagementEvent", "Downloaded", Kind.RESOURCE_DOWNLOADED),
        ("SurveyInvitationEvent", "OptedIn", Kind.OTHER),
        ("Event", "Danced", Kind.OTHER),
    ],
)
def test_actions(event_type: str, action: str, kind: Kind) -> None:
    found = posted(type=event_type, action=action)
    assert (found.kind, found.verb) == (kind, action if kind is Kind.OTHER else None)


def test_of_a_grade_the_student_is_whose_attempt_it_is() -> None:
    score = {"id": "urn:score", "type": "Score", "scoreGiven": 15, "maxScore": 20}
    found = posted(type="GradeEvent", action="Graded", object=ATTEMPT, generated=score)
    assert (found.student_id, found.task_id) == ("urn:lms:user:s002", "https://lms.example.org/quiz/1")
    assert (found.kind, found.verb, found.score) == (Kind.OTHER, "Graded", 0.75)


def test_of_a_session_that_timed_out_the_student_is_its_user() -> None:
    session = {"id": "urn:session", "type": "Session", "user": PERSON}
    program = {"id": "https://lms.example.org", "type": "SoftwareApplication"}
    found = posted(type="SessionEvent", action="TimedOut", actor=program, object=session)
    assert (found.student_id, found.task_id, found.kind) == (PERSON["id"], None, Kind.SESSION_ENDED)


def test_what_took_how_long_is_the_attempts() -> None:
    assert posted(type="AssessmentEvent", action="Submitted", generated=ATTEMPT).duration_s == 300


@pytest.mark.parametrize(
    ("changes", "course_id", "team_id"),
    [
        ({"group": "py102"}, "py102", None),
        ({"group": {"id": "t/1", "type": "Group", "subOrganizationOf": SECTION}}, "py101", "t:1"),
        ({"group": {"id": "t1", "type": "Group"}}, NO_COURSE, "t1"),
        ({"group": None}, "elsewhere", None),
        ({"group": None, "membership": "https://lms.example.org/m/1"}, NO_COURSE, None),
    ],
)
def test_a_group_is_a_course_or_a_team(changes: dict[str, Any], course_id: str, team_id: str | None) -> None:
    found = posted(**changes)
    assert (found.course_id, found.team_id) == (course_id, team_id)


def test_an_entity_may_be_its_iri_and_no_address_is_kept() -> None:
    found = posted(actor="mailto:a@example.org", object=PAGE["id"])
    assert (found.student_id, found.task_id) == (persons.of_address("a@example.org"), PAGE["id"])


def test_an_id_that_is_no_uuid_makes_one_that_stays_the_same() -> None:
    assert posted(id="urn:event:7").event_id == posted(id="urn:event:7").event_id != posted(id="urn:event:8").event_id


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"action": None}, "action", "an entity tells of nothing"),
        ({"actor": None}, "actor", "names no person"),
        ({"actor": {"type": "Person"}}, "actor", "names no person"),
        ({"actor": 7}, "actor", "got `int`"),
        ({"actor": "s\x00"}, "actor", "control character"),
        ({"eventTime": "2026-01-15T00:30:00"}, "eventTime", "with a timezone"),
        ({"eventTime": None}, "eventTime", "got `null`"),
        ({"id": ""}, "id", "length >= 1"),
        ({"object": {"id": "x" * 129}}, "object", "1 to 128"),
        ({"generated": {"scoreGiven": "1"}}, "generated.scoreGiven", "got `str`"),
    ],
)
def test_what_is_refused_is_told_with_its_place(changes: dict[str, Any], field: str, reason: str) -> None:
    found = verdict(**changes)
    assert isinstance(found, Rejection)
    assert (found.field, reason in found.reason) == (field, True), found


def test_events_beside_entities_and_bad_ones_are_taken() -> None:
    found = caliper.judge(envelope(PERSON, PERSON["id"], EVENT, 7), NO_COURSE)
    assert [isinstance(each, Posted) for each in found] == [False, False, True, False]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"sensor": "s"}', "missing required field `sendTime`"),
        (
            envelope(EVENT, dataVersion="http://purl.imsglobal.org/ctx/caliper/v2p0"),
            r"Caliper 1.2 or 1.1 - at `\$.data",
        ),
        (envelope(EVENT, sendTime="now"), "sendTime"),
        (envelope(), "data is empty"),
        (envelope(*[EVENT] * (EVENTS_MAX + 1)), "501: at most 500"),
        (b'{"data":' + b"[" * 10_000, "nested too deep"),
    ],
)
def test_a_body_that_is_no_envelope_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(BodyError, match=reason):
        caliper.judge(body, NO_COURSE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "type", "assignee", "user", "organization", "scoreGiven"]), inner)
    ),
    max_leaves=6,
)


@given(st.sampled_from([*EVENT, "generated"]), JSON, st.sampled_from(["GradeEvent", "SessionEvent", "MediaEvent"]))
def test_any_value_in_any_place_has_a_verdict(name: str, value: Any, event_type: str) -> None:
    event = {**copy.deepcopy(EVENT), "type": event_type, name: value}
    try:
        found, beside = caliper.judge(envelope(event, EVENT), NO_COURSE)
    except BodyError:  # NaN
        return
    assert isinstance(found, Posted) or found.reason
    assert beside == posted()
