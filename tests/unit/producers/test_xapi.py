"""xAPI statements as they are really written (FUN-MOOC, Moodle, cmi5, H5P shapes), and what becomes of each field."""

import copy
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.xapi import StatementError, event_of
from wire.events import ID_MAX, Kind
from wire.xapi import KIND_OF_VERB

ADL = "http://adlnet.gov/expapi/verbs"
VIDEO = "https://w3id.org/xapi/video"

FUN_MOOC: dict[str, Any] = {
    "verb": {"id": f"{VIDEO}/verbs/seeked", "display": {"en-US": "seeked"}},
    "context": {
        "extensions": {f"{VIDEO}/extensions/session-id": "abb32c5b-ab8f-5f00-9718-267b6e6ba727"},
        "contextActivities": {
            "category": [{"id": VIDEO}],
            "parent": [
                {
                    "id": "course-v1:FUN-MOOC+00002+session01",
                    "objectType": "Activity",
                    "definition": {"type": "http://adlnet.gov/expapi/activities/course"},
                }
            ],
        },
    },
    "result": {"extensions": {f"{VIDEO}/extensions/time-from": 124.692, f"{VIDEO}/extensions/time-to": 176.4}},
    "id": "9dc99b37-e920-4a68-a066-917faca28949",
    "actor": {"objectType": "Agent", "account": {"name": "f6c5ca7f-9daa", "homePage": "http://fun-mooc.fr"}},
    "object": {
        "definition": {"type": f"{VIDEO}/activity-type/video", "name": {"en-US": "FUN-f1bdf5a4"}},
        "id": "uuid://7d4f3c70-1e79-4243-9b7d-166076ce8bfb",
        "objectType": "Activity",
    },
    "timestamp": "2021-11-29T23:09:00.867219+00:00",
}
MOODLE_QUIZ: dict[str, Any] = {
    "id": "5a4f8c1e-0000-4000-8000-000000000001",
    "actor": {"name": "Yuki", "mbox": "mailto:yuki@example.org"},
    "verb": {"id": f"{ADL}/answered"},
    "object": {
        "id": "https://lms.example/mod/quiz/view.php?id=12",
        "definition": {"type": "http://adlnet.gov/expapi/activities/cmi.interaction"},
    },
    "result": {"success": False, "score": {"raw": 3, "min": 0, "max": 10}, "duration": "PT1M30.5S", "completion": True},
    "context": {
        "contextActivities": {
            "grouping": [
                {"id": "https://lms.example", "definition": {"type": "http://id.tincanapi.com/activitytype/lms"}},
                {
                    "id": "https://lms.example/course/7",
                    "definition": {"type": "http://vocab.xapi.fr/activities/course"},
                },
            ]
        }
    },
    "timestamp": "2026-01-15T09:30:00Z",
}


def having(statement: dict[str, Any], *path: str, value: Any) -> dict[str, Any]:
    """A copy with one field set; None takes it away."""
    out = copy.deepcopy(statement)
    inner = out
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    if value is None:
        inner.pop(path[-1], None)
    else:
        inner[path[-1]] = value
    return out


STARTED = having(FUN_MOOC, "verb", "id", value=f"{ADL}/initialized")  # of a video, or of something else?
MOODLE_STARTED = having(MOODLE_QUIZ, "verb", "id", value=f"{ADL}/initialized")


def test_a_video_statement_of_a_mooc() -> None:
    assert event_of(FUN_MOOC, "unknown") == {
        "event_id": "9dc99b37-e920-4a68-a066-917faca28949",
        "student_id": "f6c5ca7f-9daa",
        "course_id": "course-v1:FUN-MOOC+00002+session01",
        "kind": "video_seeked",
        "occurred_at": "2021-11-29T23:09:00.867219+00:00",
        "task_id": "uuid://7d4f3c70-1e79-4243-9b7d-166076ce8bfb",
    }


def test_a_marked_answer_of_an_lms() -> None:
    event = event_of(MOODLE_QUIZ, "unknown")
    assert event.pop("student_id") not in ("", "Yuki", "mailto:yuki@example.org")
    assert event == {
        "event_id": "5a4f8c1e-0000-4000-8000-000000000001",
        "course_id": "https://lms.example/course/7",
        "kind": "answer_submitted",
        "occurred_at": "2026-01-15T09:30:00Z",
        "task_id": "https://lms.example/mod/quiz/view.php?id=12",
        "score": 0.3,
        "success": False,
        "duration_s": 90.5,
    }


@pytest.mark.parametrize(
    ("verb", "video", "kind"),
    [
        (f"{VIDEO}/verbs/played", True, Kind.VIDEO_PLAYED),
        (f"{ADL}/initialized", True, Kind.VIDEO_LOADED),
        (f"{ADL}/initialized", False, Kind.TASK_STARTED),
        (f"{ADL}/completed", True, Kind.VIDEO_COMPLETED),
        (f"{ADL}/completed", False, Kind.TASK_COMPLETED),
        (f"{ADL}/terminated", True, Kind.VIDEO_CLOSED),
        (f"{ADL}/terminated", False, Kind.SESSION_ENDED),
        (f"{ADL}/interacted", True, Kind.CONTENT_INTERACTED),
        ("http://id.tincanapi.com/verb/downloaded", False, Kind.RESOURCE_DOWNLOADED),
        ("http://id.tincanapi.com/verb/viewed/", False, Kind.PAGE_VIEWED),
        (f"{ADL}/ASKED", False, Kind.HELP_REQUESTED),
        ("https://w3id.org/xapi/adl/verbs/logged-in", False, Kind.SESSION_STARTED),
        (f"{ADL}/passed", False, Kind.TASK_COMPLETED),
        ("http://activitystrea.ms/schema/1.0/follow", False, Kind.OTHER),
        ("urn:x", False, Kind.OTHER),
    ],
)
def test_verbs(verb: str, video: bool, kind: Kind) -> None:
    statement = having(FUN_MOOC if video else MOODLE_QUIZ, "verb", "id", value=verb)
    assert event_of(statement, "c")["kind"] == kind


def test_every_verb_leads_to_a_kind() -> None:
    assert set(KIND_OF_VERB.values()) <= set(Kind)


@pytest.mark.parametrize("verb", ["passed", "failed"])
def test_passed_and_failed_say_how_it_went_unless_the_result_does(verb: str) -> None:
    statement = having(MOODLE_QUIZ, "verb", "id", value=f"{ADL}/{verb}")
    assert event_of(statement, "c")["success"] is False
    assert event_of(having(statement, "result", "success", value=None), "c")["success"] is (verb == "passed")


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ({"scaled": 0.75}, 0.75),
        ({"scaled": 0}, 0.0),
        ({"scaled": 1, "raw": 3, "min": 0, "max": 10}, 1.0),
        ({"raw": 5, "min": 0, "max": 10}, 0.5),
        ({"scaled": -0.5}, None),
        ({"scaled": 7}, None),
        ({"raw": 5}, None),
        ({"raw": 5, "min": 5, "max": 5}, None),
        ({"raw": 50, "min": 0, "max": 10}, None),
        ({"raw": "5", "min": 0, "max": 10}, None),
        ({"raw": 5, "min": 0, "max": "10"}, None),
        ({"scaled": "high"}, None),
        ({"scaled": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_scores(score: Any, expected: float | None) -> None:
    assert event_of(having(MOODLE_QUIZ, "result", "score", value=score), "c").get("score") == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0S", 0.0), ("PT8.25S", 8.25), ("PT1H", 3600.0), ("P0DT1S", 1.0), ("P1D", 86_400.0), ("PT1H2M3S", 3723.0),
        ("PT", None), ("P", None), ("", None), ("1h", None), ("P1Y", None), ("PT-3S", None), (90, None),
    ],
)  # fmt: skip
def test_durations(text: Any, seconds: float | None) -> None:
    assert event_of(having(MOODLE_QUIZ, "result", "duration", value=text), "c").get("duration_s") == seconds


def test_a_duration_of_more_than_a_day_is_left_out() -> None:
    """The door would refuse the whole event for it; it is what a tab left open makes."""
    assert "duration_s" not in event_of(having(MOODLE_QUIZ, "result", "duration", value="P3D"), "c")


@pytest.mark.parametrize(
    "actor",
    [
        {"mbox": "mailto:a@example.org"},
        {"mbox_sha1sum": "ebd31e95054c018b10727ccffd2ef2ec3a016ee9"},
        {"openid": "https://a.example.org"},
    ],
)
def test_a_person_is_told_apart_but_not_named(actor: dict[str, str]) -> None:
    (value,) = actor.values()
    event = event_of(having(MOODLE_QUIZ, "actor", value=actor), "c")
    assert event["student_id"] == event_of(having(FUN_MOOC, "actor", value=actor), "c")["student_id"]
    assert value not in msgspec.json.encode(event).decode()


def test_a_statement_that_names_no_course_belongs_to_the_one_given() -> None:
    contexts: list[Any] = [None, {}, {"contextActivities": {}}, {"contextActivities": {"parent": [{"id": "x"}]}}]
    for context in contexts:
        assert event_of(having(MOODLE_QUIZ, "context", value=context), "py101")["course_id"] == "py101"


def test_a_single_activity_instead_of_a_list_is_read() -> None:  # xAPI 1.0.0 to 1.0.2
    parent = FUN_MOOC["context"]["contextActivities"]["parent"][0]
    statement = having(FUN_MOOC, "context", "contextActivities", "parent", value=parent)
    assert event_of(statement, "c")["course_id"] == "course-v1:FUN-MOOC+00002+session01"


def test_a_statement_without_an_id_gets_one_that_its_content_makes() -> None:
    nameless = having(FUN_MOOC, "id", value=None)
    first, again = event_of(nameless, "c")["event_id"], event_of(copy.deepcopy(nameless), "c")["event_id"]
    other = event_of(having(nameless, "timestamp", value="2021-11-29T23:09:01Z"), "c")["event_id"]
    assert uuid.UUID(first) == uuid.UUID(again) != uuid.UUID(other)


@pytest.mark.parametrize("field", ["student_id", "course_id", "task_id"])
def test_ids_too_long_for_us_become_their_hash(field: str) -> None:
    long = "https://lms.example/" + "x" * 500
    statement = having(FUN_MOOC, "actor", "account", "name", value=long)
    statement = having(statement, "object", "id", value=long)
    statement["context"]["contextActivities"]["parent"][0]["id"] = long
    assert len(event_of(statement, "c")[field]) <= ID_MAX
    assert event_of(statement, "c")[field] == event_of(copy.deepcopy(statement), "c")[field]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ([], "not an object"),
        ("a statement", "not an object"),
        ({}, "verb.id"),
        (having(FUN_MOOC, "verb", value=None), "verb.id"),
        (having(FUN_MOOC, "verb", value="played"), "verb.id"),
        (having(FUN_MOOC, "verb", "id", value=7), "verb.id"),
        (having(FUN_MOOC, "timestamp", value=None), "timestamp"),
        (having(FUN_MOOC, "timestamp", value=1638187200), "timestamp"),
        (having(FUN_MOOC, "actor", value=None), "actor"),
        (having(FUN_MOOC, "actor", value=[]), "actor"),
        (having(FUN_MOOC, "actor", value={"account": {"name": ""}}), "actor"),
        (having(FUN_MOOC, "result", value="good"), "result"),
        (having(FUN_MOOC, "result", value=[1]), "result"),
        (having(FUN_MOOC, "result", "score", value="good"), "result.score"),
        (having(FUN_MOOC, "object", value="x"), "object"),
        (having(STARTED, "object", "definition", value=[1]), "object.definition"),
        (having(FUN_MOOC, "context", value="x"), "context"),
        (having(FUN_MOOC, "context", "contextActivities", value=[1]), "context.contextActivities"),
        (having(FUN_MOOC, "context", "contextActivities", "parent", value=["x"]), "parent"),
        (having(MOODLE_STARTED, "context", "contextActivities", "category", value=["x"]), "category"),
    ],
)
def test_what_cannot_become_an_event_is_told_with_its_field(statement: Any, named: str) -> None:
    with pytest.raises(StatementError, match=named):
        event_of(statement, "c")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "definition", "name"]), inner),
    max_leaves=4,
)
_PATHS = [
    ("actor",), ("actor", "account"), ("actor", "account", "name"), ("verb",), ("verb", "id"), ("object",),
    ("object", "id"), ("object", "definition"), ("object", "definition", "type"), ("result",), ("result", "score"),
    ("result", "success"), ("result", "duration"), ("context",), ("context", "contextActivities"),
    ("context", "contextActivities", "parent"), ("context", "contextActivities", "category"), ("timestamp",), ("id",),
]  # fmt: skip


@given(path=st.sampled_from(_PATHS), value=_json)
def test_any_value_in_any_place_makes_an_event_or_a_statement_error(path: tuple[str, ...], value: Any) -> None:
    statement = copy.deepcopy(FUN_MOOC)
    inner = statement
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    try:
        event = event_of(statement, "c")
    except StatementError:
        return
    assert {"event_id", "student_id", "course_id", "kind", "occurred_at"} <= event.keys()
    assert all(isinstance(event[name], str) for name in ("event_id", "student_id", "course_id", "occurred_at"))
