"""Statements as `ids`, `exact` and `canonical`, and which language somebody reads."""

import json
from typing import Any

import pytest

from gateway.statements.formats import Format, formed
from gateway.statements.languages import one_of, ranges

AGENT = {"objectType": "Agent", "name": "Kim", "account": {"homePage": "https://lms.example", "name": "kim"}}
LEE = {"objectType": "Agent", "name": "Lee", "openid": "http://e.example/lee"}
TEAM = {"objectType": "Group", "name": "Team", "mbox": "mailto:team@e.example", "member": [LEE]}
CROWD = {"objectType": "Group", "name": "Crowd", "member": [AGENT, LEE]}
VERB = {"id": "http://e.example/did", "display": {"en": "did", "de": "tat"}}
QUIZ = {
    "objectType": "Activity",
    "id": "http://e.example/quiz",
    "definition": {
        "name": {"en-US": "Loops", "de": "Schleifen"},
        "description": {"fr": "Boucles"},
        "type": "http://e.example/type",
        "interactionType": "choice",
        "choices": [{"id": "a", "description": {"en": "Yes", "de": "Ja"}}, {"id": "b"}],
        "extensions": {"http://e.example/x": 1},
    },
}
STATEMENT: dict[str, Any] = {
    "id": "7ccd3322-e1a5-411a-a67d-6a735c76f119",
    "actor": CROWD,
    "verb": VERB,
    "object": {
        "objectType": "SubStatement",
        "actor": AGENT,
        "verb": VERB,
        "object": QUIZ,
        "result": {"score": {"raw": 3}},
    },
    "result": {"score": {"raw": 3, "max": 1.10}, "extensions": {"http://e.example/x": 12345678901234567890123}},
    "context": {
        "team": TEAM,
        "platform": "P",
        "contextActivities": {"parent": [QUIZ]},
        "contextAgents": [{"objectType": "contextAgent", "agent": LEE}],
        "contextGroups": [{"objectType": "contextGroup", "group": CROWD}],
        "extensions": {"http://e.example/x": {"deep": [1.0]}},
    },
    "authority": AGENT,
    "stored": "2026-01-15T00:30:00Z",
}
WHOLE = json.dumps(STATEMENT).encode()


def shown(wanted: Format, accepted: str = "") -> Any:
    return json.loads(formed(WHOLE, wanted, ranges(accepted)))


def test_exact_is_as_it_came() -> None:
    assert formed(WHOLE, Format.EXACT, []) is WHOLE


def test_ids_say_which_and_no_more() -> None:
    found = shown(Format.IDS)
    kim = {"objectType": "Agent", "account": AGENT["account"]}
    lee = {"objectType": "Agent", "openid": LEE["openid"]}
    crowd = {"objectType": "Group", "member": [kim, lee]}
    quiz = {"objectType": "Activity", "id": QUIZ["id"]}
    verb = {"id": VERB["id"]}
    assert (found["actor"], found["verb"], found["authority"]) == (crowd, verb, kim)
    sub = STATEMENT["object"]
    assert found["object"] == {**sub, "actor": kim, "verb": verb, "object": quiz}
    assert found["context"] == {
        **STATEMENT["context"],
        "team": {"objectType": "Group", "mbox": TEAM["mbox"]},
        "contextActivities": {"parent": [quiz]},
        "contextAgents": [{"objectType": "contextAgent", "agent": lee}],
        "contextGroups": [{"objectType": "contextGroup", "group": crowd}],
    }
    assert (found["result"], found["id"]) == (STATEMENT["result"], STATEMENT["id"])


def test_canonical_has_one_language_of_each_map_and_agents_as_they_came() -> None:
    found = shown(Format.CANONICAL, "de, en;q=0.5")
    (quiz,) = found["context"]["contextActivities"]["parent"]
    assert quiz == found["object"]["object"]
    assert quiz["definition"] == {
        **QUIZ["definition"],  # type: ignore[dict-item]
        "name": {"de": "Schleifen"},
        "choices": [{"id": "a", "description": {"de": "Ja"}}, {"id": "b"}],
    }
    assert found["verb"]["display"] == found["object"]["verb"]["display"] == {"de": "tat"}
    assert (found["actor"], found["context"]["team"], found["authority"]) == (CROWD, TEAM, AGENT)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ("de", ["de"]),
        ("en;q=0.5, de-CH, fr;q=0.9, it;q=0", ["de-ch", "fr", "en"]),
        ("*;q=0.1, en-GB", ["en-gb", "*"]),
        ("en;q=2, !, ;q=1, de;q=0.1234", []),
    ],
)
def test_what_is_accepted(header: str, found: list[str]) -> None:
    assert ranges(header) == found


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [([], "en_us"), (["de"], "de-CH"), (["en"], "en_us"), (["fr"], "en_us"), (["d"], "en_us"), (["*", "de"], "en_us")],
)
def test_which_is_read(wanted: list[str], tag: str) -> None:
    assert [*one_of({"en_us": "a", "de-CH": "b"}, wanted)] == [tag]
    assert one_of({}, wanted) == {}
