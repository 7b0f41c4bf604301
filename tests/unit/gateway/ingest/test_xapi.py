"""Statements as they are really written, what becomes of each field, and what the specification refuses."""

import copy
import gzip
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_activity import DATA

from gateway.ingest.ids import NO_COURSE
from gateway.ingest.judge import EVENTS_MAX, BodyError, Posted, Rejection
from gateway.ingest.xapi import adapter, statement
from gateway.ingest.xapi.adapter import ConflictError, judge, named
from gateway.ingest.xapi.statement import PART_BYTES
from wire import persons
from wire.events import ID_MAX, Kind

NOW = datetime(2026, 1, 15, 0, 30, tzinfo=UTC)
ADL = "http://adlnet.gov/expapi/verbs"
ID = "5a4f8c1e-0000-4000-8000-000000000001"
SHA1 = "ebd31e95054c018b10727ccffd2ef2ec3a016ee9"
ACCOUNT = {"homePage": "https://lms.example", "name": "s001"}
AGENT = {"account": ACCOUNT}
GROUP = {"objectType": "Group", "member": [AGENT]}
QUIZ = {"id": "https://lms.example/mod/quiz/view.php?id=12"}
ATTACHED = {
    "usageType": "http://adlnet.gov/expapi/attachments/signature",
    "display": {"en": "signature"},
    "contentType": "application/octet-stream",
    "length": 4,
    "sha2": "a" * 64,
}

# As logstore_xapi makes them of a quiz attempt: no id, the course among the groupings, a language that is no RFC's.
MOODLE: dict[str, Any] = {
    "actor": {"name": "Yuki", "account": {"homePage": "https://lms.example", "name": "17"}},
    "verb": {"id": f"{ADL}/completed", "display": {"en_us": "completed"}},
    "object": {
        **QUIZ,
        "definition": {
            "type": "http://adlnet.gov/expapi/activities/assessment",
            "name": {"en_us": "Loops"},
        },
    },
    "timestamp": "2026-01-15T09:30:00+09:00",
    "result": {
        "score": {"raw": 3, "min": 0, "max": 10, "scaled": 0.3},
        "completion": True,
        "success": False,
        "duration": "PT1M30.5S",
    },
    "context": {
        "platform": "Moodle",
        "language": "en_us",
        "extensions": {
            "http://lrs.learninglocker.net/define/extensions/info": {
                "http://moodle.org": "4.1",
                "event_name": "\\mod_quiz\\event\\attempt_submitted",
                "event_function": None,
            }
        },
        "contextActivities": {
            "grouping": [
                {
                    "id": "https://lms.example",
                    "definition": {"type": "http://id.tincanapi.com/activitytype/lms", "name": {"en": "LMS"}},
                },
                {
                    "id": "https://lms.example/course/view.php?id=7",
                    "definition": {
                        "type": "https://w3id.org/xapi/cmi5/activitytype/course",
                        "name": {"en": "Python"},
                        "extensions": {
                            "https://w3id.org/learning-analytics/learning-management-system/external-id": None,
                            "https://w3id.org/learning-analytics/learning-management-system/short-id": "py101",
                        },
                    },
                },
            ],
            "category": [
                {"id": "http://moodle.org", "definition": {"type": "http://id.tincanapi.com/activitytype/source"}}
            ],
        },
    },
}


def having(*path: str | int, value: Any, of: Any = None) -> dict[str, Any]:
    """A copy with one property set, below those that are not there yet."""
    out: dict[str, Any] = copy.deepcopy(of if of is not None else MOODLE)
    inner: Any = out
    for name in path[:-1]:
        inner = inner[name] if isinstance(name, int) else inner.setdefault(name, {})
    inner[path[-1]] = value
    return out


MEMOS = (
    statement._read_actor, statement._read_object, statement._read_verb, statement._read_activities, adapter._looked
)  # fmt: skip


def verdict(statement: object, version: int = 1) -> Posted | Rejection:
    (found,) = judge(json.dumps(statement).encode(), version, NO_COURSE, NOW)
    return found


def posted(statement: object, version: int = 1) -> Posted:
    found = verdict(statement, version)
    assert isinstance(found, Posted), found
    return found


def test_a_statement_of_moodle() -> None:
    found = posted(MOODLE)
    assert found == Posted(
        event_id=found.event_id,
        student_id="17",
        course_id="py101",
        kind=Kind.TASK_COMPLETED,
        occurred_at=NOW,
        task_id=QUIZ["id"],
        score=0.3,
        success=False,
        duration_s=90.5,
    )


def test_what_is_large_is_looked_at_and_not_remembered() -> None:
    large = copy.deepcopy(MOODLE)
    large["object"]["definition"]["description"] = {"en": "x" * PART_BYTES}
    large["verb"]["display"] = {"en": "x" * PART_BYTES}
    large["actor"]["name"] = "x" * PART_BYTES
    small = posted(MOODLE)
    before = [memo.cache_info().currsize for memo in MEMOS]
    found = posted(large)
    assert found == msgspec.structs.replace(small, event_id=found.event_id)
    assert [memo.cache_info().currsize for memo in MEMOS] == before


def test_sent_again_it_has_the_same_id_and_another_moment_has_another() -> None:
    again, later = posted(MOODLE), posted(having("timestamp", value="2026-01-15T09:30:01+09:00"))
    assert posted(MOODLE).event_id == again.event_id != later.event_id


def test_without_a_time_it_happened_now_and_sent_again_it_happened_again() -> None:
    timeless = {name: value for name, value in MOODLE.items() if name != "timestamp"}
    first, second = posted(timeless), posted(timeless)
    assert first.occurred_at == NOW
    assert first.event_id != second.event_id


def test_its_own_id_is_kept() -> None:
    assert posted(having("id", value=ID.upper())).event_id == uuid.UUID(ID)


def test_a_time_without_an_offset_is_utc() -> None:
    assert posted(having("timestamp", value="2026-01-15T00:30:00")).occurred_at == NOW


@pytest.mark.parametrize(
    ("actor", "student_id"),
    [
        (AGENT, "s001"),
        ({"account": {**ACCOUNT, "name": "a@example.org"}}, persons.of_address("a@example.org")),
        ({"mbox": "mailto:a@example.org"}, persons.of_address("a@example.org")),
        ({"mbox_sha1sum": SHA1}, persons.of_address(SHA1)),
        ({"openid": "https://a.example.org"}, persons.of_url("https://a.example.org")),
    ],
)
def test_a_person_is_told_apart_but_no_address_is_kept(actor: dict[str, Any], student_id: str) -> None:
    assert posted(having("actor", value=actor)).student_id == student_id


@pytest.mark.parametrize(
    ("verb", "kind", "kept"),
    [
        (f"{ADL}/answered", Kind.ANSWER_SUBMITTED, None),
        ("http://id.tincanapi.com/verb/viewed", Kind.PAGE_VIEWED, None),
        ("https://w3id.org/xapi/adl/verbs/logged-in", Kind.SESSION_STARTED, None),
        ("http://activitystrea.ms/schema/1.0/follow", Kind.OTHER, "http://activitystrea.ms/schema/1.0/follow"),
        ("https://e.org/" + "x" * 200, Kind.OTHER, ("https://e.org/" + "x" * 200)[:ID_MAX]),
    ],
)
def test_a_verb_becomes_a_kind_and_one_we_do_not_know_is_kept(verb: str, kind: Kind, kept: str | None) -> None:
    found = posted(having("verb", "id", value=verb))
    assert (found.kind, found.verb) == (kind, kept)


def test_of_a_video_completed_says_something_else() -> None:
    by_type = having("object", "definition", "type", value="https://w3id.org/xapi/video/activity-type/video")
    by_category = having("context", "contextActivities", "category", value={"id": "https://w3id.org/xapi/video"})
    assert posted(by_type).kind is posted(by_category).kind is Kind.VIDEO_COMPLETED


def test_a_course_is_named_by_the_context_or_is_the_object_or_is_the_keys() -> None:
    activities = ("context", "contextActivities")
    course = MOODLE["context"]["contextActivities"]["grouping"][1]
    named_by_iri = {**course, "definition": {"type": course["definition"]["type"]}}
    assert posted(having(*activities, value={"parent": named_by_iri})).course_id == course["id"]
    elsewhere = having(*activities, value={})
    assert posted(elsewhere).course_id == NO_COURSE
    viewed = posted(having("object", value=course, of=elsewhere))
    assert (viewed.course_id, viewed.task_id) == ("py101", None)


def test_a_team_is_the_contexts_and_its_slashes_become_colons() -> None:
    team = {"objectType": "Group", "account": {**ACCOUNT, "name": "7/red"}}
    assert posted(having("context", "team", value=team)).team_id == "7:red"
    assert posted(having("context", "team", value=GROUP)).team_id is None  # nothing names it


@pytest.mark.parametrize("thing", [{**AGENT, "objectType": "Agent"}, {"objectType": "StatementRef", "id": ID}])
def test_what_is_no_activity_is_no_task(thing: dict[str, Any]) -> None:
    statement = having("object", value=thing)
    del statement["context"]["platform"]
    assert posted(statement).task_id is None


def test_a_substatement_is_looked_into_and_is_no_task() -> None:
    inner = {"objectType": "SubStatement", "actor": AGENT, "verb": {"id": f"{ADL}/attempted"}, "object": QUIZ}
    statement = {**MOODLE, "object": inner, "context": {}}
    assert posted(statement).task_id is None
    for path, value, field in (
        (("object",), inner, "object.object"),
        (("object", "id"), "x", "object.object.id"),
        (("id",), ID, "object"),
        (("timestamp",), "today", "object.timestamp"),
        (("actor",), {}, "object.actor"),
    ):
        bad = verdict(having("object", *path, value=value, of=statement))
        assert isinstance(bad, Rejection)
        assert bad.field == field


REFUSED: list[tuple[tuple[str | int, ...], Any, str | None, str]] = [
    (("actor",), {}, "actor", "exactly one of mbox"),
    (("actor",), {"name": "Yuki"}, "actor", "exactly one of mbox"),
    (("actor",), {"mbox": "mailto:a@b.c", "openid": "https://a.example"}, "actor", "got 2"),
    (("actor",), {"mbox": "a@b.c"}, "actor.mbox", "mailto: and an e-mail address"),
    (("actor",), {"mbox": None}, "actor.mbox", "Expected `str`, got `null`"),
    (("actor",), {"mbox_sha1sum": "x"}, "actor.mbox_sha1sum", "40 hexadecimal"),
    (("actor",), {"openid": "a.example"}, "actor.openid", "an IRI"),
    (("actor",), {"account": {"name": "s"}}, "actor.account", "missing required field `homePage`"),
    (("actor",), {"account": {**ACCOUNT, "name": ""}}, "actor.account.name", "length >= 1"),
    (("actor",), {**AGENT, "objectType": "Person"}, "actor.objectType", "Invalid enum value"),
    (("actor",), {**AGENT, "age": 7}, "actor", "unknown field `age`"),
    (("actor",), {**AGENT, "member": [AGENT]}, "actor", "`member` is of a Group"),
    (("actor",), {"objectType": "Group"}, "actor", "has a `member`"),
    (("actor",), {"objectType": "Group", "member": [GROUP]}, "actor", "no member of a Group"),
    (("actor",), GROUP, "actor", "one statement for each"),
    (("verb",), {}, "verb", "missing required field `id`"),
    (("verb", "id"), "completed", "verb.id", "an IRI with its scheme"),
    (("verb", "id"), "http://a b", "verb.id", "an IRI with its scheme"),
    (("verb", "display"), {"no language!": "x"}, "verb.display", "a language tag"),
    (("verb", "display"), {"en": None}, "verb.display[...]", "got `null`"),
    (("verb", "id"), f"{ADL}/voided", "object", "StatementRef"),
    (("object",), 7, "object", "Expected `object`"),
    (("object",), {}, "object", "missing required field `id`"),
    (("object", "objectType"), "Course", "object.objectType", "expected one of Activity"),
    (("object", "objectType"), "StatementRef", "object.id", "Invalid UUID"),
    (("object", "objectType"), "Agent", "object", "unknown field `id`"),
    (("object", "definition", "type"), "quiz", "object.definition.type", "an IRI"),
    (("object", "definition", "choices"), [], "object.definition", "`interactionType` is missing"),
    (("object", "definition", "interactionType"), "guess", "object.definition.interactionType", "Invalid enum"),
    (("id",), "7", "id", "Invalid UUID"),
    (("result", "score", "scaled"), 1.1, "result.score.scaled", "<= 1.0"),
    (("result", "score", "scaled"), -1.1, "result.score.scaled", ">= -1.0"),
    (("result", "score", "raw"), 11, "result.score", "`raw` is not between"),
    (("result", "score", "max"), 0, "result.score", "`min` is not less"),
    (("result", "success"), "yes", "result.success", "Expected `bool`"),
    (("result", "duration"), "P" + "1" * 500_000, "result.duration", "length <= 64"),
    (("result", "duration"), "1h", "result.duration", "an ISO 8601 duration"),
    (("result", "extensions"), {"key": 1}, "result.extensions", "an IRI"),
    (("context", "extensions"), {"key": 1}, "context.extensions", "an IRI"),
    (("context", "registration"), "7", "context.registration", "Invalid UUID"),
    (("context", "team"), AGENT, "context", "`team` is a Group"),
    (("context", "language"), "", "context.language", "a language tag"),
    (("context", "statement"), {"id": ID}, "context.statement", "missing required field `objectType`"),
    (("context", "contextActivities"), {"child": []}, "context.contextActivities", "unknown field `child`"),
    (("context", "contextActivities", "grouping", 0, "id"), "x", "context.contextActivities.grouping[0].id", "an IRI"),
    (("context", "contextAgents"), [], "context", "of version 2.0"),
    (("context", "revision"), None, "context.revision", "got `null`"),
    (("timestamp",), "yesterday", "timestamp", "an ISO 8601 time"),
    (("timestamp",), "2026-01-15T09:30:00-00:00", "timestamp", "whose offset is not -00:00"),
    (("timestamp",), "2026-02-30T09:30:00Z", "timestamp", "day is out of range"),
    (("timestamp",), 1_768_437_000, "timestamp", "Expected `str`"),
    (("stored",), "2026-99-15T09:30:00Z", "stored", "an ISO 8601 time"),
    (("version",), "0.95", "version", "1.0.x or 2.0.x"),
    (("authority",), {}, "authority", "exactly one of mbox"),
    (("attachments",), [ATTACHED], "attachments[0]", "not taken here"),
    (("attachments",), [{**ATTACHED, "sha2": "x"}], "attachments[0].sha2", "hexadecimal"),
    (("mood",), "good", None, "unknown field `mood`"),
    # allowed, and of no use as an id of ours
    (("actor", "account", "name"), "a\nb", "actor", "control character"),
    (("actor", "account", "name"), "x" * (ID_MAX + 1), "actor", "1 to 128 characters"),
    (("object", "id"), "https://lms.example/" + "x" * ID_MAX, "object.id", "1 to 128 characters"),
]


@pytest.mark.parametrize(("path", "value", "field", "reason"), REFUSED)
def test_what_is_refused_is_told_with_its_place(
    path: tuple[str | int, ...], value: Any, field: str | None, reason: str
) -> None:
    found = verdict(having(*path, value=value))
    assert isinstance(found, Rejection)
    assert (found.field, reason in found.reason) == (field, True), found


@pytest.mark.parametrize("name", ["actor", "verb", "object"])
def test_a_statement_has_an_actor_a_verb_and_an_object(name: str) -> None:
    found = verdict({key: value for key, value in MOODLE.items() if key != name})
    assert isinstance(found, Rejection)
    assert f"missing required field `{name}`" in found.reason


def test_a_statement_that_voids_another_is_told_that_none_is_kept() -> None:
    voiding = {
        "actor": AGENT,
        "verb": {"id": f"{ADL}/voided"},
        "object": {"objectType": "StatementRef", "id": ID},
    }
    found = verdict(voiding)
    assert isinstance(found, Rejection)
    assert (found.field, "none can be voided" in found.reason) == ("verb.id", True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("attachments",), [{**ATTACHED, "fileUrl": "https://lms.example/signature"}]),
        (("context", "instructor"), GROUP),
        (("context", "statement"), {"objectType": "StatementRef", "id": ID}),
        (("context", "contextActivities", "other"), QUIZ),  # not in a list, as before 1.0.3
        (("object", "definition", "interactionType"), "choice"),
        (("authority",), AGENT),
        (("stored",), "2026-01-15T00:30:01.123456789Z"),
        (("version",), "1.0.0"),
        (("result", "extensions"), {"http://e.org/x": {"any": [None, {"thing": 1}]}}),
    ],
)
def test_what_the_specification_allows_is_taken(path: tuple[str, ...], value: Any) -> None:
    assert posted(having(*path, value=value)).student_id == "17"


def test_agents_of_a_context_are_taken_since_2_0() -> None:
    agents = [{"objectType": "contextAgent", "agent": AGENT}]
    groups = [{"objectType": "contextGroup", "group": GROUP, "relevantTypes": ["http://e.org/type"]}]
    statement = having("context", "contextGroups", value=groups, of=having("context", "contextAgents", value=agents))
    assert posted(statement, version=2).student_id == "17"


def test_statements_are_told_apart_in_their_order() -> None:
    body = json.dumps([MOODLE, {}, having("id", value=ID)]).encode()
    first, second, third = judge(body, 1, NO_COURSE, NOW)
    assert isinstance(first, Posted)
    assert isinstance(second, Rejection)
    assert isinstance(third, Posted)
    assert str(third.event_id) == ID


def test_one_id_over_two_different_statements_is_a_conflict() -> None:
    one, other = having("id", value=ID), having("id", value=ID, of=having("timestamp", value="2026-01-15T00:31:00Z"))
    first, second = judge(json.dumps([one, dict(reversed(one.items()))]).encode(), 1, NO_COURSE, NOW)
    assert first == second
    with pytest.raises(ConflictError, match=f"statement 1.*{ID}"):
        judge(json.dumps([one, other]).encode(), 1, NO_COURSE, NOW)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"7", "Expected `object | array`, got `int`"),
        (b"[]", "the list is empty"),
        (b"[" + b"{}," * EVENTS_MAX + b"{}]", "501 statements: at most 500"),
        (b"[" * 10_000, "nested too deep"),
        (b'{"actor": NaN}', "malformed"),
        (b'[{"context": {"extensions": {"http://e.org": "\xff"}}}]', "can't decode byte 0xff"),
    ],
)
def test_a_body_without_statements_is_refused_as_a_whole(body: bytes, reason: str) -> None:
    with pytest.raises(BodyError, match=reason.replace("|", r"\|")):
        judge(body, 1, NO_COURSE, NOW)


def test_what_is_nested_too_deep_is_told() -> None:
    body = json.dumps(having("context", "extensions", value={"http://e.org": 0})).replace(
        "0}", "[" * 9_000 + "]" * 9_000 + "}"
    )
    with pytest.raises(BodyError, match="nested too deep"):
        judge(body.encode(), 1, NO_COURSE, NOW)


def test_the_id_of_a_statement_is_read_from_it_alone() -> None:
    assert named(json.dumps(having("id", value=ID)).encode())[1] == uuid.UUID(ID)
    assert named(json.dumps(MOODLE).encode())[1] is None
    for body in (b"[{}]", b'{"id": 7}', b"{", b'{"id": ' + b"[" * 10_000):
        with pytest.raises(BodyError):
            named(body)


def test_recorded_statements_of_a_mooc_are_all_good() -> None:
    file = DATA / "fun-mooc" / "statements.json.gz"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    with gzip.open(file) as lines:
        body = b"[" + b",".join(next(lines) for _ in range(EVENTS_MAX)) + b"]"
    found = judge(body, 1, NO_COURSE, NOW)
    assert all(isinstance(one, Posted) and one.course_id != NO_COURSE and one.kind is not Kind.OTHER for one in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5) | st.just("a:b"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "objectType", "member", "account", "name", "definition", "x"]), inner)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner: list[Any] = list(value.items()) if isinstance(value, dict) else []
    inner = list(enumerate(value)) if isinstance(value, list) else inner
    return [path] * bool(path) + [each for name, below in inner for each in places(below, (*path, name))]


@given(st.sampled_from(places(MOODLE)), JSON, st.sampled_from([1, 2]))
def test_any_value_in_any_place_has_a_verdict(path: tuple[str | int, ...], value: Any, version: int) -> None:
    body = json.dumps([having(*path, value=value), MOODLE]).encode()
    try:
        found, beside = judge(body, version, NO_COURSE, NOW)
    except BodyError:  # NaN
        return
    assert isinstance(found, Posted) or found.reason
    assert beside == posted(MOODLE, version)


MUTATION = st.tuples(st.integers(0, 2_000), st.integers(0, 3), st.binary(max_size=4))


@given(st.lists(MUTATION, min_size=1, max_size=6))
def test_whatever_is_broken_in_a_body_it_has_a_verdict_or_is_told_why_not(
    mutations: list[tuple[int, int, bytes]],
) -> None:
    body = bytearray(json.dumps([MOODLE, having("id", value=ID)]).encode())
    for at, removed, put in mutations:
        body[at : at + removed] = put
    try:
        verdicts = judge(bytes(body), 1, NO_COURSE, NOW)
    except (BodyError, ConflictError):
        return
    assert all(isinstance(each, Posted) or each.reason for each in verdicts)
