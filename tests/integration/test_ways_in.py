"""xAPI, Jupyter and Caliper against a real gateway and Kafka: what others' producers send is taken as it is."""

import asyncio
import base64
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from doors import AtTheDoor, at_the_door, problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.database import connected
from gateway.ingest.ids import NO_COURSE
from gateway.security import keys
from gateway.security.limits import presented_key
from wire.events import ActivityEvent, Kind

STATEMENTS = "/xapi/statements"
ADL = "http://adlnet.gov/expapi/verbs"


def statement(door: AtTheDoor, **changes: Any) -> dict[str, Any]:
    course = {"id": f"course:{door.course}", "definition": {"type": "http://adlnet.gov/expapi/activities/course"}}
    whole = {
        "actor": {"account": {"homePage": "https://lms.example", "name": "s1"}},
        "verb": {"id": f"{ADL}/answered"},
        "object": {"id": "https://lms.example/quiz/1"},
        "result": {"success": True, "score": {"scaled": 0.8}},
        "context": {"contextActivities": {"parent": [course]}},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return {**whole, **changes}


async def send(
    door: AtTheDoor, body: object, method: str = "POST", url: str = STATEMENTS, **headers: str
) -> httpx.Response:
    """As an xAPI client does it, with Basic. A header that is "" is left out."""
    given = {
        "Authorization": "Basic " + base64.b64encode(f"lms:{door.key}".encode()).decode(),
        "X-Experience-API-Version": "1.0.3",
        "Content-Type": "application/json",
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await door.client.request(method, url, content=content, headers={n: v for n, v in given.items() if v})


async def published(door: AtTheDoor, course: str | None = None) -> list[ActivityEvent]:
    """This test's events beside those that opened the door."""
    course_before, door.course = door.course, course or f"course:{door.course}"
    found = await door.published()
    door.course = course_before
    return [event for event in found if event.student_id != "opener"]


async def test_statements_are_in_kafka_when_their_ids_are_answered(door: AtTheDoor) -> None:
    own = str(uuid.uuid4())
    answer = await send(door, [statement(door, id=own), statement(door, verb={"id": "http://e.org/verbs/danced"})])
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Experience-API-Version"] == "1.0.3"
    assert datetime.fromisoformat(answer.headers["X-Experience-API-Consistent-Through"]) <= datetime.now(UTC)
    first, second = await published(door)
    assert answer.json() == [own, second.event_id] == [first.event_id, second.event_id]
    assert (first.kind, first.score, first.success, first.source) == (Kind.ANSWER_SUBMITTED, 0.8, True, "lms")
    assert (second.kind, second.verb) == (Kind.OTHER, "http://e.org/verbs/danced")


async def test_a_moodle_with_logstore_xapi_works_as_it_is(door: AtTheDoor) -> None:
    """Its plug-in posts a list by curl, with Basic and exactly these headers, takes 200 alone for a success, and sends
    all of it again where it got none; its statements have no ids."""
    course = {
        "id": "https://lms.example/course/view.php?id=7",
        "definition": {
            "type": "https://w3id.org/xapi/cmi5/activitytype/course",
            "name": {"en": "Python"},
            "extensions": {"https://w3id.org/learning-analytics/learning-management-system/short-id": door.course},
        },
    }
    site = {"id": "https://lms.example", "definition": {"type": "http://id.tincanapi.com/activitytype/lms"}}
    body = [
        {
            "actor": {"name": "Yuki", "account": {"homePage": "https://lms.example", "name": "17"}},
            "verb": {"id": "http://id.tincanapi.com/verb/viewed", "display": {"en": "viewed"}},
            "object": course,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "context": {
                "platform": "Moodle",
                "language": "en",
                "extensions": {"http://lrs.learninglocker.net/define/extensions/info": {"event_function": None}},
                "contextActivities": {
                    "grouping": [site],
                    "category": [{"id": "http://moodle.org", "definition": {"name": {"en": "Moodle"}}}],
                },
            },
        },
        {
            "actor": {"name": "Yuki", "account": {"homePage": "https://lms.example", "name": "17"}},
            "verb": {"id": "https://w3id.org/xapi/adl/verbs/logged-in", "display": {"en": "logged in"}},
            "object": site,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "context": {"platform": "Moodle", "language": "en", "contextActivities": {"grouping": [site]}},
        },
    ]
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"moodle:{door.key}".encode()).decode(),
        "X-Experience-API-Version": "1.0.0",
        "Content-Type": "application/json",
        "Accept": "*/*",
    }
    answers = [await door.client.post(STATEMENTS, content=json.dumps(body).encode(), headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    (viewed,) = await published(door, door.course)
    assert (viewed.student_id, viewed.kind, viewed.task_id) == ("17", Kind.PAGE_VIEWED, None)
    of_none = [event for event in await published(door, NO_COURSE) if event.event_id == answers[0].json()[1]]
    assert [event.kind for event in of_none] == [Kind.SESSION_STARTED]


async def test_where_one_statement_is_bad_none_is_taken_and_each_is_told(door: AtTheDoor) -> None:
    bad = statement(door, actor={})
    far = statement(door, timestamp="2100-01-01T00:00:00Z")
    body = problem(await send(door, [statement(door), bad, statement(door, mood="good")]), 400)
    assert body["detail"].startswith("statement 1: actor: expected exactly one of mbox")
    assert [(error["index"], error["field"]) for error in body["errors"]] == [(1, "actor"), (2, None)]
    body = problem(await send(door, [statement(door), far]), 400)
    assert [(error["index"], "ahead of" in error["reason"]) for error in body["errors"]] == [(1, True)]
    assert await published(door) == []


async def test_one_id_over_two_statements_is_409(door: AtTheDoor) -> None:
    own = str(uuid.uuid4())
    answer = await send(door, [statement(door, id=own), statement(door, id=own, verb={"id": f"{ADL}/passed"})])
    assert own in problem(answer, 409)["detail"]
    assert await published(door) == []


async def test_put_takes_one_statement_under_its_id(door: AtTheDoor) -> None:
    own = str(uuid.uuid4())
    url = f"{STATEMENTS}?statementId={own}"
    taken = await send(door, statement(door), "PUT", url)
    assert (taken.status_code, taken.content) == (204, b"")
    assert (await send(door, statement(door, id=own), "PUT", url)).status_code == 204
    assert [event.event_id for event in await published(door)] == [own]
    other = await send(door, statement(door, id=str(uuid.uuid4())), "PUT", url)
    assert "is not the statementId" in problem(other, 400)["detail"]
    assert "expected one statement" in problem(await send(door, [statement(door)], "PUT", url), 400)["detail"]
    for asked in (STATEMENTS, f"{STATEMENTS}?statementId=7"):
        assert "statementId" in problem(await send(door, statement(door), "PUT", asked), 400)["detail"]


@pytest.mark.parametrize(
    ("version", "spoken"),
    [("1.0", "1.0.3"), ("1.0.0", "1.0.3"), ("1.0.9", "1.0.3"), ("2.0.0", "2.0.0"), ("", None), ("0.95", None)]
    + [(text, None) for text in ("1.1.0", "3.0.0", "2", "1.0.x", "1.0.0.0", "²")],
)
async def test_a_version_is_asked_for_and_told(door: AtTheDoor, version: str, spoken: str | None) -> None:
    answer = await door.client.post(
        STATEMENTS,
        content=json.dumps(statement(door)).encode(),
        headers=[
            (b"Authorization", f"Bearer {door.key}".encode()),
            (b"Content-Type", b"application/json"),
            *([(b"X-Experience-API-Version", version.encode())] if version else []),
        ],
    )
    assert answer.headers["X-Experience-API-Version"] == (spoken or "2.0.0")
    if spoken:
        assert answer.status_code == 200
    else:
        assert "expected 1.0, 1.0.x or 2.0.x" in problem(answer, 400)["detail"]


async def test_about_says_the_versions_to_anybody(door: AtTheDoor) -> None:
    answer = await door.client.get("/xapi/about")
    assert (answer.status_code, answer.json()["version"]) == (200, ["1.0.3", "2.0.0"])


async def test_what_needs_a_store_is_501_with_the_version(door: AtTheDoor) -> None:
    asked = [
        ("GET", "/statements"),
        ("PUT", "/activities/state"),
        ("GET", "/activities"),
        ("DELETE", "/agents/profile"),
    ]
    for method, path in asked:
        answer = await send(door, b"", method, f"/xapi{path}")
        assert "none kept" in problem(answer, 501)["detail"]
        assert answer.headers["X-Experience-API-Version"] == "1.0.3"
    problem(await send(door, b"", "GET", "/xapi/elsewhere"), 404)


async def test_attachments_are_refused_clearly(door: AtTheDoor) -> None:
    answer = await send(door, b"--x\r\n", Content_Type="multipart/mixed; boundary=x")
    assert "attachments are not taken" in problem(answer, 415)["detail"]
    assert "application/json" in problem(await send(door, statement(door), Content_Type="text/plain"), 415)["detail"]


async def test_a_stranger_is_401_and_a_key_of_another_course_is_told(door: AtTheDoor) -> None:
    for header in ("", "Basic", "Basic !", "Basic " + base64.b64encode(b"lms").decode(), "Bearer x"):
        answer = await send(door, statement(door), Authorization=header)
        problem(answer, 401)
        assert answer.headers["X-Experience-API-Version"] == "1.0.3"
    async with connected(door.postgres_url, 5) as database:
        door.key = await keys.create(database, "bound", ["another"])
    body = problem(await send(door, statement(door)), 400)
    assert body["errors"][0]["field"] == "course_id"


async def test_any_user_name_goes_with_a_key(door: AtTheDoor) -> None:
    for user in ("", "Müller", "a b"):
        basic = base64.b64encode(f"{user}:{door.key}".encode()).decode()
        assert (await send(door, statement(door), Authorization=f"Basic {basic}")).status_code == 200


async def test_a_statement_without_a_course_is_of_the_only_one_of_its_key(door: AtTheDoor) -> None:
    async with connected(door.postgres_url, 5) as database:
        door.key = await keys.create(database, "bound", [door.course])
    assert (await send(door, statement(door, context={}))).status_code == 200
    assert [event.student_id for event in await published(door, door.course)] == ["s1"]


async def test_the_exporter_of_jupyterlab_works_as_it_is(door: AtTheDoor) -> None:
    """It has no header of its own to set: the key is in its URL, `http://jupyter:KEY@HOST/ingest/jupyter`, which its
    client sends as Basic."""
    body = {
        "data": {
            "eventDetail": {
                "eventName": "CellExecuteEvent",
                "eventTime": int(datetime.now(UTC).timestamp() * 1000),
                "eventInfo": {"cells": [{"id": "4c", "index": 3}], "success": False, "kernelError": {"ename": "E"}},
            },
            "notebookState": {"sessionID": "5d", "notebookPath": "loops.ipynb", "notebookContent": {"cells": []}},
        },
        "params": {"course_id": door.course},
        "env": [{"JUPYTERHUB_USER": "s1"}],
    }
    request = door.client.build_request("POST", "/ingest/jupyter", content=json.dumps(body).encode())
    request.headers["Content-Type"] = "application/json"
    answers = [await door.client.send(request, auth=httpx.BasicAuth("jupyter", door.key)) for _ in range(2)]
    assert [answer.json()["results"][0]["result"] for answer in answers] == ["accepted", "duplicate"]
    (event,) = await published(door, door.course)
    assert (event.kind, event.success, event.task_id, event.team_id) == (Kind.CELL_EXECUTED, False, "loops.ipynb", "t1")
    del body["env"]
    refused = problem(await door.client.post("/ingest/jupyter", json=body, auth=("jupyter", door.key)), 422)
    assert refused["results"][0]["field"] == "params.student_id"
    assert (
        "jupyterlab-pioneer"
        in problem(await door.client.post("/ingest/jupyter", json={}, auth=("jupyter", door.key)), 400)["detail"]
    )


async def test_a_caliper_envelope_is_taken_event_by_event(door: AtTheDoor) -> None:
    event = {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "id": f"urn:uuid:{uuid.uuid4()}",
        "type": "ViewEvent",
        "actor": {"id": "s1", "type": "Person"},
        "action": "Viewed",
        "object": {"id": "https://lms.example/pages/2", "type": "WebPage"},
        "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "group": {"id": door.course, "type": "CourseSection"},
    }
    envelope = {
        "sensor": "https://lms.example/sensors/1",
        "sendTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "dataVersion": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "data": [event, {**event, "id": "urn:other", "eventTime": "today"}],
    }
    headers = {"Authorization": f"Bearer {door.key}"}
    answer = await door.client.post("/ingest/caliper", json=envelope, headers=headers)
    assert answer.status_code == 202, answer.text
    assert [(one["result"], one["field"]) for one in answer.json()["results"]] == [
        ("accepted", None),
        ("rejected", "eventTime"),
    ]
    assert [found.kind for found in await published(door, door.course)] == [Kind.PAGE_VIEWED]
    assert "envelope" in problem(await door.client.post("/ingest/caliper", json=[], headers=headers), 400)["detail"]


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer cp_x", "cp_x"),
        ("basic " + base64.b64encode(b"lms:cp_x:y").decode(), "cp_x:y"),
        ("Basic " + base64.b64encode(b"lms:").decode(), None),
        ("Basic " + base64.b64encode(b"\xff:x").decode(), None),
        ("Basic x", None),
        ("Digest x", None),
        ("", None),
    ],
)
def test_a_key_is_a_bearers_or_the_password_of_basic(header: str, key: str | None) -> None:
    assert presented_key(Request({"type": "http", "headers": [(b"authorization", header.encode())]})) == key


async def test_the_examples_of_openapi_are_taken(door: AtTheDoor) -> None:
    paths = (await door.client.get("/openapi.json")).json()["paths"]
    headers = {"Authorization": f"Bearer {door.key}", "X-Experience-API-Version": "2.0.0"}
    for path, status in ((STATEMENTS, 200), ("/ingest/jupyter", 202), ("/ingest/caliper", 202)):
        (example,) = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"].values()
        answer = await door.client.post(path, json=example["value"], headers=headers)
        assert answer.status_code == status, answer.text


@pytest.fixture
def bodies(with_topics: str, postgres_url: str) -> Iterator[tuple[asyncio.Runner, AtTheDoor, dict[str, bytes]]]:
    """For Hypothesis, whose functions are not asynchronous: a door, and what each way in takes."""
    with asyncio.Runner() as runner:
        opening = at_the_door(with_topics, postgres_url)
        at = runner.run(opening.__aenter__())
        runner.run(at.opened())
        paths = runner.run(at.client.get("/openapi.json")).json()["paths"]
        found = {}
        for path in (STATEMENTS, "/ingest/jupyter", "/ingest/caliper"):
            (example,) = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"].values()
            found[path] = json.dumps(example["value"]).encode()
        yield runner, at, found
        runner.run(opening.__aexit__(None, None, None))


MUTATION = st.tuples(st.integers(0, 700), st.integers(0, 3), st.binary(max_size=4))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    url=st.sampled_from([STATEMENTS, "/ingest/jupyter", "/ingest/caliper"]), mutations=st.lists(MUTATION, max_size=6)
)
def test_whatever_is_posted_is_never_a_fault_of_ours(
    bodies: tuple[asyncio.Runner, AtTheDoor, dict[str, bytes]], url: str, mutations: list[tuple[int, int, bytes]]
) -> None:
    runner, door, examples = bodies
    body = bytearray(examples[url])
    for at, removed, put in mutations:
        body[at : at + removed] = put
    answer = runner.run(send(door, bytes(body), url=url))
    if answer.status_code not in (200, 202):
        assert answer.status_code in (400, 409, 422)
        problem(answer, answer.status_code)
