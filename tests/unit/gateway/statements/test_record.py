"""What is kept of a statement, by what it is found, and which differences between two do not count."""

import copy
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.ingest.xapi import adapter
from gateway.ingest.xapi.adapter import Read
from gateway.statements.comparison import digest
from gateway.statements.facets import Kind, facet
from gateway.statements.record import Record, moment, record, whole

ID = "7CCD3322-e1a5-411a-a67d-6a735c76f119"
HOME = "https://lms.example"
STORED = datetime(2026, 1, 15, 0, 30, 0, 5, UTC)


def account(name: str) -> dict[str, Any]:
    return {"account": {"homePage": HOME, "name": name}}


RICH: dict[str, Any] = {
    "id": ID,
    "actor": {"mbox": "mailto:Kim@Example.org", "name": "Kim"},
    "verb": {"id": "http://e.example/planned", "display": {"en": "planned"}},
    "object": {
        "objectType": "SubStatement",
        "actor": {"objectType": "Group", "member": [account("a"), account("b@example.org")]},
        "verb": {"id": "http://e.example/did", "display": {"en": "did"}},
        "object": {"id": "http://e.example/inner", "definition": {"name": {"en": "Inner"}}},
        "context": {"contextActivities": {"category": {"id": "http://e.example/category"}}},
    },
    "context": {
        "registration": ID,
        "instructor": {"mbox_sha1sum": "A" * 40},
        "team": {"objectType": "Group", "openid": "http://e.example/team", "member": [account("c")]},
        "contextActivities": {"parent": {"id": "http://e.example/parent", "definition": {"name": {"en": "P"}}}},
        "statement": {"objectType": "StatementRef", "id": ID},
        "extensions": {"http://e.example/x": {"n": [1.10, 1e2, None]}},
    },
    "timestamp": "2026-01-15T09:30:00+09:00",
}


def read(statement: dict[str, Any], version: int = 1) -> Read:
    (one,) = adapter.read(json.dumps(statement).encode(), version)
    assert isinstance(one, Read), one
    return one


def kept(statement: dict[str, Any], version: int = 1) -> Record:
    return record(read(statement, version), version, "lms")


def changed(*path: str, to: Any) -> dict[str, Any]:
    """`to` None: without it."""
    statement = copy.deepcopy(RICH)
    inner = statement
    for name in path[:-1]:
        inner = inner[name]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return statement


def test_it_is_kept_as_it_came_but_for_what_a_store_puts_in() -> None:
    one = kept({**RICH, "stored": "2020-01-01T00:00:00Z", "authority": account("somebody")})
    shown = json.loads(whole(one.body, STORED, one.happened_us))
    expected = copy.deepcopy(RICH)
    expected["id"] = ID.lower()
    expected["context"]["contextActivities"]["parent"] = [RICH["context"]["contextActivities"]["parent"]]
    category = RICH["object"]["context"]["contextActivities"]["category"]
    expected["object"]["context"]["contextActivities"]["category"] = [category]
    authority = {"objectType": "Agent", "account": {"homePage": "https://classpulse.invalid/keys", "name": "lms"}}
    assert shown == {**expected, "stored": moment(STORED), "authority": authority, "version": "1.0.0"}
    assert b'{"n": [1.1, 100.0, null]}' in one.body  # extensions byte by byte
    assert one.happened_us == int(datetime(2026, 1, 15, 0, 30, tzinfo=UTC).timestamp()) * 1_000_000


def test_what_it_lacks_is_filled_in() -> None:
    bare = {"actor": account("a"), "verb": {"id": "http://e.example/did"}, "object": {"id": "http://e.example/it"}}
    one = kept(bare, version=2)
    shown = json.loads(whole(one.body, STORED, one.happened_us))
    assert (shown["id"], shown["version"], shown["timestamp"]) == (str(one.id), "2.0.0", "2026-01-15T00:30:00.000005Z")
    assert json.loads(kept({**bare, "version": "1.0.2"}).body)["version"] == "1.0.2"
    assert kept({**bare, "timestamp": "0001-01-01T00:00:00+14:00"}).happened_us is not None


def test_it_is_found_by_everything_in_it() -> None:
    one = kept(RICH)
    mbox = "mbox\nmailto:Kim@example.org"
    assert one.found_by == {
        facet(Kind.AGENT, mbox),
        facet(Kind.VERB, "http://e.example/planned"),
        facet(Kind.REGISTRATION, ID.lower()),
        *(
            facet(Kind.RELATED_AGENT, key)
            for key in (
                mbox,
                f"account\n{HOME}\na",
                f"account\n{HOME}\nb@example.org",
                f"mbox_sha1sum\n{'a' * 40}",
                "openid\nhttp://e.example/team",
                f"account\n{HOME}\nc",
                "account\nhttps://classpulse.invalid/keys\nlms",
            )
        ),
        *(facet(Kind.RELATED_ACTIVITY, f"http://e.example/{name}") for name in ("inner", "category", "parent")),
    }
    assert {"a", "c"} < one.students
    assert len(one.students) == 5  # no address is an id, and a team is no student
    assert (one.refers, one.voids) == (None, False)


def test_what_voids_refers() -> None:
    thing = {"objectType": "StatementRef", "id": ID}
    one = kept({**RICH, "verb": {"id": "http://adlnet.gov/expapi/verbs/voided"}, "object": thing})
    assert (one.refers, one.voids) == (uuid.UUID(ID), True)


@pytest.mark.parametrize(
    "other",
    [
        {**RICH, "stored": "2020-01-01T00:00:00Z", "version": "1.0.1", "authority": account("x"), "id": ID.lower()},
        dict(reversed(RICH.items())),
        changed("timestamp", to=None),
        changed("timestamp", to="2026-01-15T00:30:00Z"),
        changed("verb", "display", to={"de": "plante"}),
        changed("object", "verb", "display", to=None),
        changed("object", "object", "definition", to=None),
        changed("object", "actor", "member", to=[account("b@example.org"), account("a")]),
        changed("context", "contextActivities", to={"parent": [{"id": "http://e.example/parent"}]}),
        changed("context", "registration", to=ID.lower()),
        changed("context", "instructor", to={"mbox_sha1sum": "a" * 40}),
        changed("actor", "mbox", to="mailto:Kim@example.ORG"),
    ],
)
def test_such_a_difference_does_not_count(other: dict[str, Any]) -> None:
    assert digest(json.dumps(other).encode()) == digest(json.dumps(RICH).encode())


@pytest.mark.parametrize(
    "other",
    [
        changed("actor", "name", to="Lee"),
        changed("actor", "mbox", to="mailto:kim@example.org"),
        changed("verb", "id", to="http://e.example/plans"),
        changed("object", "object", "id", to="http://e.example/other"),
        changed("context", "extensions", to={}),
        changed("context", "team", to=None),
        {**RICH, "result": {"success": True}},
    ],
)
def test_such_a_difference_does(other: dict[str, Any]) -> None:
    assert digest(json.dumps(other).encode()) != digest(json.dumps(RICH).encode())


def test_numbers_that_nobody_can_read_within_extensions_are_compared_by_their_bytes() -> None:
    bare = {"actor": account("a"), "verb": {"id": "http://e.example/did"}, "object": {"id": "http://e.example/it"}}
    whole = json.dumps({**bare, "result": {"extensions": {"http://e.example/x": "N"}}})
    found = set()
    for number in ("1e400", "2e400", "1" * 5_000):
        (one,) = adapter.read(whole.replace('"N"', number).encode(), 1)
        assert isinstance(one, Read)
        assert number.encode() in record(one, 1, "lms").body
        found.add(digest(one.data))
    assert len(found) == 3
