"""Each bad input one by one, and laws: a body never raises anything but BodyError, and good events survive bad ones."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.ingest.judge import EVENT_MAX_BYTES, EVENTS_MAX, BodyError, Posted, Rejection, judge, judge_lines
from wire.events import Kind

GOOD: dict[str, Any] = {
    "student_id": "s001",
    "course_id": "py101",
    "kind": "code_run",
    "occurred_at": "2026-01-15T09:30:00.250+09:00",
}
GOOD_ID = "0190a3e0-0000-7000-8000-000000000001"


# One event whose value is nested so deep that a decoder gives up.
DEEP = b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"


def one(event: object) -> Posted | Rejection:
    (verdict,) = judge(json.dumps(event).encode()).verdicts
    return verdict


def rejected(**changes: object) -> tuple[str | None, str]:
    verdict = one({**GOOD, **changes})
    assert isinstance(verdict, Rejection)
    return verdict.field, verdict.reason


def test_an_event_is_read_as_it_was_sent() -> None:
    sent = {"event_id": GOOD_ID.upper(), "team_id": "t1", "task_id": "a/b", "score": 1, "success": False}
    verdict = one({**GOOD, **sent, "duration_s": 0.5, "source": "somebody else", "received_at": 1})
    assert verdict == Posted(
        event_id=uuid.UUID(GOOD_ID),
        student_id="s001",
        course_id="py101",
        team_id="t1",
        kind=Kind.CODE_RUN,
        occurred_at=datetime(2026, 1, 15, 0, 30, 0, 250_000, tzinfo=UTC),
        task_id="a/b",
        score=1.0,
        success=False,
        duration_s=0.5,
    )
    assert str(verdict.event_id) == GOOD_ID  # one id, however it was written
    assert verdict.occurred_at_ms == 1_768_437_000_250


def test_null_is_the_same_as_absent() -> None:
    optional = ("event_id", "team_id", "task_id", "score", "success", "duration_s")
    assert one({**GOOD, **dict.fromkeys(optional)}) == one(GOOD)


@pytest.mark.parametrize("field", ["student_id", "course_id", "kind", "occurred_at"])
def test_a_missing_field_is_named(field: str) -> None:
    verdict = one({name: value for name, value in GOOD.items() if name != field})
    assert verdict == Rejection(None, field, "is missing")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("student_id", 7, "Expected `str`, got `int`"),
        ("student_id", None, "Expected `str`, got `null`"),
        ("student_id", "", "length >= 1"),
        ("student_id", "x" * 129, "length <= 128"),
        ("student_id", "a\0b", "no control characters"),
        ("student_id", "a\n", "no control characters"),
        ("course_id", "a\\", "no backslash"),
        ("team_id", "a/b", "no slash"),
        ("kind", "dancing", "expected one of session_started,"),
        ("kind", 3, "Expected `str`, got `int`"),
        ("occurred_at", "yesterday", "expected an RFC 3339 time with its offset"),
        ("occurred_at", "2026-01-15T09:30:00", "with its offset"),
        ("occurred_at", 1_768_437_000, "expected an RFC 3339 time with its offset"),
        ("occurred_at", "2026-02-30T00:00:00Z", "expected an RFC 3339 time with its offset"),
        ("score", 1.5, "<= 1.0"),
        ("score", "1", "got `str`"),
        ("success", "yes", "Expected `bool | null`"),
        ("duration_s", -1, ">= 0.0"),
        ("duration_s", 86_401, "<= 86400.0"),
        ("event_id", "1", "Invalid UUID"),
        ("verb", "a\nb", "no control characters"),
    ],
)
def test_a_bad_value_is_told_with_its_field_and_the_reason(field: str, value: object, reason: str) -> None:
    told = rejected(**{field: value})
    assert told[0] == field
    assert reason in told[1]


def test_an_event_too_large_is_rejected_by_itself() -> None:
    large = {**GOOD, "remark": "x" * EVENT_MAX_BYTES}
    bad, good = judge(json.dumps([large, GOOD]).encode()).verdicts
    assert isinstance(bad, Rejection)
    assert "an event is at most 32768" in bad.reason
    assert isinstance(good, Posted)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (rb'"\ud800"', "student_id"),
        (rb'"a\ud83d\u0041"', "student_id"),
        (rb'"\udc00"', "student_id"),
        (b'"\xff\xfe"', "student_id"),
        (b'"\xed\xa0\x80"', "student_id"),  # a surrogate as if it were a character
    ],
)
def test_half_a_surrogate_pair_or_broken_utf_8_spoils_only_its_event(value: bytes, field: str) -> None:
    good = json.dumps({**GOOD, "student_id": "学生"}, ensure_ascii=False).encode()
    bad = json.dumps({**GOOD, "event_id": GOOD_ID, "student_id": "HERE"}).encode().replace(b'"HERE"', value)
    first, second = judge(b"[" + good + b"," + bad + b"]").verdicts
    assert isinstance(first, Posted)
    assert first.student_id == "学生"
    assert second == Rejection(GOOD_ID, field, "not text: half a surrogate pair, or not UTF-8")


@pytest.mark.parametrize("element", [1, None, "event", [], [[]], True])
def test_what_is_no_object_is_rejected_by_itself(element: object) -> None:
    bad, good = judge(json.dumps([element, GOOD]).encode()).verdicts
    assert isinstance(bad, Rejection)
    assert "Expected `object`" in bad.reason
    assert isinstance(good, Posted)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "truncated"),
        (b'{"student_id": "s001",}', "malformed"),
        (b"[1,]", "trailing comma in array (byte 3)"),
        (b"{} {}", "trailing characters (byte 4)"),
        (b"student_id=s001", "byte 0"),
        (b'[{"score": NaN}]', "malformed"),
        (b"[{'a': 1}]", "byte 2"),
        (b"\xef\xbb\xbf[]", "byte 0"),
        ("[{}]".encode("utf-16"), "byte 0"),
        (b"3", "Expected `object | array`, got `int`"),
        (b"null", "got `null`"),
        (b'"text"', "got `str`"),
        (b"[]", "the list is empty"),
        (b"[" + b"{}," * EVENTS_MAX + b"{}]", "501 events: at most 500"),
        (b"[" * 10_000 + b"]" * 10_000, "nested too deep"),
        (b"[" * 10_000, "nested too deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deep"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested too deep"),
        (DEEP + b"," + DEEP, "nested too deep"),
        (b"[" + DEEP, "nested too deep"),
        (b"[" + DEEP + b",]", "trailing comma in array (byte 20008)"),
        (b"[" + DEEP + b', {"a" 1}]', "malformed"),
        (b"[" + DEEP + b"," + b"{}," * EVENTS_MAX + b"{}]", "502 events"),
    ],
)
def test_a_body_that_is_no_list_of_events_is_refused_as_a_whole(body: bytes, reason: str) -> None:
    with pytest.raises(BodyError) as refused:
        judge(body)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("deep", "reason"),
    [
        (DEEP, "nested too deep"),
        (b"[" * 10_000 + b"]" * 10_000, "Expected `object`, got `array`"),
        (b"[" * 100_000 + b"]" * 100_000, "200000 bytes: an event is at most 32768"),
    ],
)
def test_an_event_nested_too_deep_is_rejected_by_itself(deep: bytes, reason: str) -> None:
    good = json.dumps({**GOOD, "remark": 'a "], [{" b'}).encode()
    bad_text = json.dumps({**GOOD, "task_id": "HERE"}).encode().replace(b"HERE", rb"\ud800")
    first, second, third, fourth, last = judge(b" [%b , %b,%b,%b, %b]" % (deep, good, bad_text, deep, good)).verdicts
    assert first == fourth == Rejection(None, None, reason)
    assert second == last == one(GOOD)
    assert isinstance(third, Rejection)
    assert third.field == "task_id"


def test_an_envelope_says_when_it_was_sent() -> None:
    found = judge(json.dumps({"sent_at": "2026-01-15T09:30:05+09:00", "events": [GOOD, 7]}).encode())
    assert found.sent_at == datetime(2026, 1, 15, 0, 30, 5, tzinfo=UTC)
    assert found.verdicts[0] == one(GOOD)
    assert isinstance(found.verdicts[1], Rejection)
    assert judge(json.dumps({"events": [GOOD]}).encode()) == judge(json.dumps([GOOD]).encode())
    assert judge(json.dumps({"events": [GOOD], "sent_at": None}).encode()).sent_at is None


def test_half_a_surrogate_pair_in_an_envelope_spoils_only_its_event() -> None:
    text = json.dumps({"sent_at": "2026-01-15T00:30:05Z", "events": [GOOD, {**GOOD, "student_id": "HERE"}]})
    found = judge(text.replace("HERE", "\\ud800").encode())
    assert found.sent_at == datetime(2026, 1, 15, 0, 30, 5, tzinfo=UTC)
    good, bad = found.verdicts
    assert good == one(GOOD)
    assert isinstance(bad, Rejection)
    assert bad.field == "student_id"


def test_an_event_may_have_a_field_of_the_name_events() -> None:
    assert one({**GOOD, "events": []}) == one(GOOD)


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        ({"events": {}}, "events or sent_at: Expected `array`"),
        ({"events": []}, "the list is empty"),
        ({"events": [GOOD], "sent_at": 7}, "events or sent_at: Expected `str"),
        ({"events": [GOOD], "sent_at": "2026-01-15T00:30:05"}, "sent_at: expected an RFC 3339 time with its offset"),
        ({"events": [GOOD] * (EVENTS_MAX + 1)}, "501 events"),
    ],
)
def test_an_envelope_that_holds_no_list_or_no_time_is_refused(envelope: object, reason: str) -> None:
    with pytest.raises(BodyError) as refused:
        judge(json.dumps(envelope).encode())
    assert reason in str(refused.value)


@pytest.mark.parametrize("text", [b"\xba", rb"\ud800", b"x" * 600 + b"\xba"])
def test_an_envelope_whose_time_is_no_text_is_refused(text: bytes) -> None:
    with pytest.raises(BodyError):
        judge(b'{"sent_at": "%b", "events": [%b]}' % (text, json.dumps(GOOD).encode()))


def test_each_line_of_ndjson_is_judged_by_itself() -> None:
    good = json.dumps(GOOD).encode()
    bad_text = json.dumps({**GOOD, "event_id": GOOD_ID, "student_id": "HERE"}).encode().replace(b"HERE", rb"\ud800")
    lines = [good + b"\r", b" ", b'{"student_id": ', DEEP, bad_text, b"[]", good + good, b"\xff", good]
    first, broken, deep, text, array, two, bytes_, last = judge_lines(b"\n".join(lines)).verdicts
    assert first == last == one(GOOD)
    assert text == Rejection(GOOD_ID, "student_id", "not text: half a surrogate pair, or not UTF-8")
    reasons = [verdict.reason for verdict in (broken, deep, array, two, bytes_) if isinstance(verdict, Rejection)]
    assert [reason.partition(":")[0] for reason in reasons] == [
        "not JSON",
        "nested too deep",
        "Expected `object`, got `array`",
        "not JSON",
        "not JSON",
    ]


@pytest.mark.parametrize(("lines", "reason"), [(b" \n\n", "is empty"), (b"{}\n" * (EVENTS_MAX + 1), "501 events")])
def test_ndjson_with_no_event_or_too_many_is_refused_as_a_whole(lines: bytes, reason: str) -> None:
    with pytest.raises(BodyError, match=reason):
        judge_lines(lines)


@given(st.lists(st.binary(max_size=30) | st.just(json.dumps(GOOD).encode()), min_size=1, max_size=20))
def test_whatever_lines_are_posted_each_has_a_verdict(lines: list[bytes]) -> None:
    whole = b"\n".join(lines)
    wanted = [line for line in whole.split(b"\n") if line.strip()]
    if wanted:
        for line, verdict in zip(wanted, judge_lines(whole).verdicts, strict=True):
            assert isinstance(verdict, Posted) if line.strip() == json.dumps(GOOD).encode() else verdict


def test_as_many_as_allowed_are_judged() -> None:
    assert len(judge(b"[" + b",".join([b"{}"] * EVENTS_MAX) + b"]").verdicts) == EVENTS_MAX


MUTATION = st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4))


@given(st.lists(MUTATION, min_size=1, max_size=6))
@example([(0, 0, b"\x00")])
def test_whatever_is_broken_in_a_body_the_judge_has_a_verdict_or_says_why_not(
    mutations: list[tuple[int, int, bytes]],
) -> None:
    body = bytearray(json.dumps([GOOD, {**GOOD, "event_id": GOOD_ID, "score": 0.5}]).encode())
    for at, removed, put in mutations:
        body[at : at + removed] = put
    try:
        verdicts = judge(bytes(body)).verdicts
    except BodyError:
        return
    assert verdicts
    for verdict in verdicts:
        assert isinstance(verdict, Posted) or verdict.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(Posted.__struct_fields__), JSON))
def test_good_events_survive_whatever_lies_beside_them(changes: dict[str, object]) -> None:
    posted = [GOOD, {**GOOD, **changes}, GOOD]
    body = json.dumps(posted)
    try:
        json.dumps(posted, allow_nan=False)
    except ValueError:  # NaN and Infinity are not JSON: nothing of it can be trusted
        with pytest.raises(BodyError):
            judge(body.encode())
        return
    first, beside, last = judge(body.encode()).verdicts
    assert first == last == one(GOOD)
    assert isinstance(beside, Posted) or (beside.field in {*changes, None} and beside.reason)
