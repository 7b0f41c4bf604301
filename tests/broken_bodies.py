"""Bodies that nobody should post, for every way in: what is right, broken in its bytes, its values or its packing."""

import copy
import gzip
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import zstandard
from hypothesis import strategies as st

JSON, NDJSON = "application/json", "application/x-ndjson"
XAPI_VERSION = {"X-Experience-API-Version": "2.0.0"}
VERB = {"id": "http://adlnet.gov/expapi/verbs/answered", "display": {"en": "answered"}}


class Broken(NamedTuple):
    url: str
    method: str
    body: bytes
    headers: dict[str, str]


def right(course: str) -> dict[str, tuple[str, str, str, Any]]:
    """Of each way in what it takes: URL, method, media type, and the body; of NDJSON a list of lines."""
    now = datetime.now(UTC)
    event = {"student_id": "s1", "course_id": course, "kind": "code_run", "occurred_at": now.isoformat()}
    marked = {**event, "event_id": str(uuid.uuid4()), "score": 0.5, "success": True, "duration_s": 3.5, "task_id": "t"}
    statement = {
        "actor": {"account": {"homePage": "https://lms.example", "name": "s1"}},
        "verb": VERB,
        "object": {"id": "https://lms.example/quiz/12", "definition": {"name": {"en": "Quiz"}}},
        "result": {"success": True, "score": {"scaled": 0.8}, "duration": "PT4S"},
        "context": {"platform": "Moodle", "contextActivities": {"grouping": [{"id": "https://lms.example"}]}},
        "timestamp": now.isoformat(),
    }
    cell = {
        "data": {
            "eventDetail": {
                "eventName": "CellExecuteEvent",
                "eventTime": int(now.timestamp() * 1000),
                "eventInfo": {"cells": [{"id": "4c", "index": 3}], "success": False},
            },
            "notebookState": {"sessionID": "5d", "notebookPath": "loops.ipynb", "notebookContent": {"cells": []}},
        },
        "params": {"course_id": course},
        "env": [{"JUPYTERHUB_USER": "s1"}],
    }
    sensed = {
        "@context": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "id": f"urn:uuid:{uuid.uuid4()}",
        "type": "ViewEvent",
        "actor": {"id": "s1", "type": "Person"},
        "action": "Viewed",
        "object": {"id": "https://lms.example/pages/2", "type": "WebPage"},
        "eventTime": now.isoformat(timespec="milliseconds"),
        "group": {"id": course, "type": "CourseSection"},
    }
    envelope = {
        "sensor": "https://lms.example/sensors/1",
        "sendTime": now.isoformat(timespec="milliseconds"),
        "dataVersion": "http://purl.imsglobal.org/ctx/caliper/v1p2",
        "data": [sensed],
    }
    native, statements = "/api/v1/events", "/xapi/statements"
    return {
        "one event": (native, "POST", JSON, marked),
        "events": (native, "POST", JSON, [event, marked]),
        "envelope": (native, "POST", JSON, {"sent_at": now.isoformat(), "events": [event]}),
        "lines": (native, "POST", NDJSON, [event, marked]),
        "statements": (statements, "POST", JSON, [statement]),
        "put": (f"{statements}?statementId={uuid.uuid4()}", "PUT", JSON, statement),
        "jupyter": ("/ingest/jupyter", "POST", JSON, cell),
        "caliper": ("/ingest/caliper", "POST", JSON, envelope),
    }


VALUES = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from(["\ud800", "\x00", "a\\", "x" * 5_000, 10**400, -1, 1e308, "9999-12-31T23:59:59Z", "", [], {}]),
    st.integers(1, 2_000).map(lambda deep: _nested(deep)),
)
CUTS = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 4), st.binary(max_size=4)), max_size=4)
PLACES = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["put", "drop", "add"]), VALUES), max_size=3)
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "br": bytes,
}


def bodies(course: str) -> st.SearchStrategy[Broken]:
    """Most stay JSON; of some the packing is broken too, or is another than is said."""
    ways = list(right(course).values())
    whole = st.builds(lambda way, value: (*way[:3], value), st.sampled_from(ways), VALUES)
    return st.builds(
        _broken,
        _mostly(st.sampled_from(ways), whole),
        PLACES,
        _mostly(st.just([]), CUTS),
        st.sampled_from(["", "", "", "gzip", "zstd"]),
        _mostly(st.just([]), CUTS),
        _mostly(st.none(), st.sampled_from(list(PACKINGS))),
    )


def _mostly(usual: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 4).flatmap(lambda number: other if number == 4 else usual)


def _broken(
    way: tuple[str, str, str, Any],
    places: list[tuple[int, str, Any]],
    cuts: list[tuple[int, int, bytes]],
    packing: str,
    packed_cuts: list[tuple[int, int, bytes]],
    said: str | None,
) -> Broken:
    url, method, kind, value = way
    value = copy.deepcopy(value)
    for place in places:
        _replace(value, *place)
    lines = value if kind == NDJSON and isinstance(value, list) else [value]
    body = _cut(b"\n".join(_bytes(line) for line in lines), cuts)
    packed = _cut(PACKINGS[packing](body), packed_cuts)
    headers = {"Content-Type": kind, "Content-Encoding": packing if said is None else said, **XAPI_VERSION}
    return Broken(url, method, packed, {name: text for name, text in headers.items() if text})


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _nested(deep: int) -> Any:
    value: Any = 1
    for level in range(min(deep, 900)):  # what the encoder of this test can write
        value = [value] if level % 2 else {"a": value}
    return value


def _replace(value: Any, number: int, what: str, by: Any) -> None:
    """Of all places in `value`, counted through, that one."""
    places = list(_places(value))
    if not places:
        return
    holder, key = places[number % len(places)]
    if what == "put":
        holder[key] = by
    elif what == "drop":
        del holder[key]
    elif isinstance(holder, dict):
        holder[f"{key}x"] = by
    else:
        holder.append(by)


def _places(value: Any) -> Any:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield value, key
        yield from _places(each)


def _cut(body: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    """Somewhere bytes are taken out, and others put there."""
    changed = bytearray(body)
    for at, removed, put in cuts:
        start = at % (len(changed) + 1)
        changed[start : start + removed] = put
    return bytes(changed)
