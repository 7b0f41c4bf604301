"""What is asked for, from its parameters, what is refused by name, and how the rest is asked for."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.statements import query
from gateway.statements.facets import Kind, facet
from gateway.statements.formats import Format
from gateway.statements.query import MANY, PAGE_MAX, SHOWN, SINGLE, Many, One, Pairs, QueryError, more, read

ID = "7ccd3322-e1a5-411a-a67d-6a735c76f119"
AGENT = json.dumps({"mbox": "mailto:Kim@Example.ORG", "name": "Kim"})
ALL = {
    "agent": AGENT,
    "verb": "http://e.example/did",
    "activity": "http://e.example/it",
    "registration": ID,
    "related_agents": "true",
    "related_activities": "true",
    "since": "2026-01-15T09:30:00.123456789+09:00",
    "until": "2026-01-15T01:00:00Z",
    "limit": "7",
    "ascending": "true",
    "format": "ids",
    "attachments": "true",
}


def many(pairs: Pairs) -> Many:
    found = read(pairs)
    assert isinstance(found, Many)
    return found


def refused(pairs: Pairs) -> QueryError:
    with pytest.raises(QueryError) as error:
        read(pairs)
    return error.value


def test_everything_at_once() -> None:
    found = many([*ALL.items()])
    assert set(found.facets) == {
        facet(Kind.RELATED_AGENT, "mbox\nmailto:Kim@example.org"),
        facet(Kind.VERB, "http://e.example/did"),
        facet(Kind.RELATED_ACTIVITY, "http://e.example/it"),
        facet(Kind.REGISTRATION, ID),
    }
    assert found.since == datetime(2026, 1, 15, 0, 30, 0, 123456, UTC)
    assert found.until == datetime(2026, 1, 15, 1, tzinfo=UTC)
    assert (found.limit, found.ascending, found.format, found.attachments) == (7, True, Format.IDS, True)
    assert found.after is None


def test_nothing_is_all_of_it_the_newest_first() -> None:
    found = many([])
    assert (found.facets, found.since, found.until, found.limit) == ((), None, None, PAGE_MAX)
    assert (found.ascending, found.format, found.attachments) == (False, Format.EXACT, False)
    assert many([("limit", "0")]).limit == many([("limit", "999999999")]).limit == PAGE_MAX


def test_one_by_its_id_goes_with_how_it_is_shown_only() -> None:
    shown = [("format", "canonical"), ("attachments", "false")]
    for name, voided in (("statementId", False), ("voidedStatementId", True)):
        found = read([(name, ID.upper()), *shown])
        assert isinstance(found, One)
        assert (str(found.id), found.voided, found.format) == (ID, voided, Format.CANONICAL)
        for other in sorted(MANY):
            assert refused([(name, ID), (other, ALL[other])]).field == other
    assert "does not go with" in refused([(name, ID) for name in SINGLE]).reason


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("statementID", ID, "is no parameter of this: 'statementID'; they are case sensitive"),
        ("statementId", "7", "expected a UUID"),
        ("statementId", f"urn:uuid:{ID}", "expected a UUID"),
        ("registration", ID.replace("-", ""), "expected a UUID"),
        ("verb", "did", "expected an IRI with its scheme"),
        ("activity", "", "expected an IRI with its scheme"),
        ("related_agents", "True", "expected true or false"),
        ("ascending", "1", "expected true or false"),
        ("attachments", "", "expected true or false"),
        ("since", "yesterday", "expected an ISO 8601 time"),
        ("until", "2026-01-15T25:00:00Z", "expected an ISO 8601 time"),
        ("until", "2026-01-15T00:00:00-00:00", "expected an ISO 8601 time"),
        ("since", "0001-01-01T00:00:00+09:00", "is outside of all calendars"),
        ("limit", "-1", "expected a number from 0 on"),
        ("limit", "٣", "expected a number from 0 on"),
        ("format", "exactly", "expected one of ids, exact, canonical"),
        ("agent", "kim", "expected an Agent or identified Group as JSON"),
        ("agent", '{"name": "Kim"}', "expected exactly one of mbox"),
        ("agent", "[" * 5_000, "expected an Agent"),
        ("agent", '{"objectType": "Group", "member": [{"openid": "http://e.example/k"}]}', "by its identifier"),
        ("more", "§", "is not as it was answered"),
        ("more", "", "is not as it was answered"),
        ("more", more([("statementId", ID)], 1), "is not as it was answered"),
        ("more", more([], -1), "is not as it was answered"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, text: str, reason: str) -> None:
    error = refused([(name, text)])
    assert error.field == name
    assert reason in error.reason


def test_twice_is_refused_and_all_unknown_ones_are_named() -> None:
    assert refused([("limit", "1"), ("limit", "1")]).reason == "is there more than once"
    error = refused([("b", "1"), ("limit", "1"), ("a", "1")])
    assert (error.field, "'a', 'b'" in error.reason) == ("a", True)


def test_the_rest_of_it_is_the_same_from_there_on() -> None:
    asked = [*ALL.items()]
    rest = many([("more", more(asked, 12))])
    assert rest._replace(after=None, asked=asked) == many(asked)
    assert (rest.after, [*rest.asked]) == (12, asked)
    assert refused([("more", more(asked, 12)), ("limit", "1")]).field == "limit"


@given(st.lists(st.tuples(st.sampled_from(sorted(MANY | SHOWN | SINGLE | {query.MORE, "x"})), st.text()), max_size=4))
def test_whatever_is_asked_is_answered_or_refused(pairs: list[tuple[str, str]]) -> None:
    _answered(pairs)


@given(st.text() | st.binary().map(lambda data: data.hex()))
def test_whatever_more_is_said_to_be(text: str) -> None:
    _answered([("more", text)])


def _answered(pairs: Pairs) -> None:
    try:
        read(pairs)
    except QueryError as error:
        found = error
    else:
        return
    assert found.field in dict(pairs)
