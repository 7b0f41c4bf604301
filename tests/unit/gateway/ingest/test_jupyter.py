"""What jupyterlab-pioneer's remote exporter sends (its versions up to 1.7), and what becomes of it."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest import jupyter
from gateway.ingest.ids import NO_COURSE
from gateway.ingest.judge import BodyError, Posted, Rejection
from gateway.ingest.jupyter import KIND_OF_EVENT
from wire import persons
from wire.events import Kind

CELL = {"id": "4c0b1c9e", "index": 3}
# `eventInfo` of each of its producers; None where it sends null.
INFOS: dict[str, Any] = {
    "ActiveCellChangeEvent": {"cells": [CELL]},
    "CellAddEvent": {"cells": [CELL]},
    "CellEditEvent": {"index": 3, "doc": ["secret = 42"]},
    "CellExecuteEvent": {"cells": [CELL], "success": False, "kernelError": {"errorName": "NameError"}},
    "CellRemoveEvent": {"cells": [{"newIndex": 3, "oldIndex": 3}]},
    "ClipboardCopyEvent": {"cells": [CELL], "selection": "secret = 42"},
    "ClipboardCutEvent": {"cells": [CELL], "selection": "secret = 42"},
    "ClipboardPasteEvent": {"cells": [CELL], "selection": "secret = 42"},
    "NotebookHiddenEvent": None,
    "NotebookOpenEvent": {"environ": {"SECRET": "secret = 42"}},
    "NotebookSaveEvent": None,
    "NotebookScrollEvent": {"cells": [CELL]},
    "NotebookVisibleEvent": {"cells": [CELL]},
}


def sent(name: str = "CellExecuteEvent", **changes: Any) -> dict[str, Any]:
    detail = {"eventName": name, "eventTime": 1_768_437_000_250, "eventInfo": INFOS.get(name)}
    state = {
        "sessionID": "5d9f2a51",
        "notebookPath": "week1/loops.ipynb",
        "notebookContent": {"cells": ["secret = 42"]},
    }
    whole = {
        "data": {"eventDetail": detail, "notebookState": state},
        "params": {"course_id": "py101", "team_id": "red"},
        "env": [{"WORKSPACE_ID": None}, {"JUPYTERHUB_USER": "s001"}],
    }
    return {**whole, **changes}


def verdict(body: object) -> Posted | Rejection:
    (found,) = jupyter.judge(json.dumps(body).encode(), NO_COURSE)
    return found


def posted(body: object) -> Posted:
    found = verdict(body)
    assert isinstance(found, Posted), found
    return found


def test_an_executed_cell() -> None:
    found = posted(sent())
    assert found == Posted(
        event_id=found.event_id,
        student_id="s001",
        course_id="py101",
        team_id="red",
        kind=Kind.CELL_EXECUTED,
        occurred_at=datetime(2026, 1, 15, 0, 30, 0, 250_000, tzinfo=UTC),
        task_id="week1/loops.ipynb",
        success=False,
    )


@pytest.mark.parametrize("name", INFOS)
def test_each_of_its_events_has_a_kind_and_leaves_content_behind(name: str) -> None:
    found = posted(sent(name))
    assert found.kind is KIND_OF_EVENT[name]
    assert found.verb == (name if found.kind is Kind.OTHER else None)
    assert "secret" not in msgspec.json.encode(found).decode()


def test_the_table_has_its_thirteen_events() -> None:
    assert KIND_OF_EVENT.keys() == INFOS.keys()


def test_an_event_of_another_extension_is_other() -> None:
    found = posted(sent("QuizOpenedEvent"))
    assert (found.kind, found.verb) == (Kind.OTHER, "QuizOpenedEvent")


def test_sent_again_it_has_the_same_id_and_another_cell_has_another() -> None:
    other = sent()
    other["data"]["eventDetail"]["eventInfo"] = {"cells": [{"id": "another"}], "success": False}
    assert posted(sent()).event_id == posted(copy.deepcopy(sent())).event_id != posted(other).event_id


@pytest.mark.parametrize(
    ("changes", "student_id", "course_id"),
    [
        ({"params": {"student_id": "s2", "course_id": "c"}}, "s2", "c"),
        ({"params": None}, "s001", NO_COURSE),
        ({"env": [{"STUDENT_ID": "s3", "JUPYTERHUB_USER": "x", "COURSE_ID": "c"}]}, "s3", "py101"),
        ({"params": None, "env": [{"JUPYTERHUB_USER": "s3"}, {"COURSE_ID": "c"}]}, "s3", "c"),
        ({"env": [{"JUPYTERHUB_USER": "a@example.org"}]}, persons.of_address("a@example.org"), "py101"),
    ],
)
def test_whose_it_is_is_in_params_or_in_the_environment(
    changes: dict[str, Any], student_id: str, course_id: str
) -> None:
    found = posted(sent(**changes))
    assert (found.student_id, found.course_id) == (student_id, course_id)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"env": []}, "params.student_id", "JUPYTERHUB_USER"),
        ({"env": [{"JUPYTERHUB_USER": None}]}, "params.student_id", "is missing"),
        ({"params": {"student_id": "a\nb"}}, "params.student_id", "control character"),
        ({"params": {"course_id": "c" * 129}}, "params.course_id", "1 to 128"),
    ],
)
def test_what_cannot_be_an_event_is_told_with_its_place(changes: dict[str, Any], field: str, reason: str) -> None:
    found = verdict(sent(**changes))
    assert isinstance(found, Rejection)
    assert (found.field, reason in found.reason) == (field, True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `data`"),
        (b'{"data": {}}', "missing required field `eventDetail`"),
        (b'{"data": {"eventDetail": {"eventName": "", "eventTime": 1}}}', "length >= 1"),
        (b'{"data": {"eventDetail": {"eventName": "x", "eventTime": "now"}}}', r"eventTime"),
        (b'{"data": {"eventDetail": {"eventName": "x", "eventTime": 1e300}}}', r"eventTime"),
        (b'{"data": {"eventDetail": {"eventName": "CellExecuteEvent", "eventTime": 1, "eventInfo": 7}}}', "got `int`"),
        (b'{"params":{"x":' + b"[" * 10_000, "nested too deep"),
    ],
)
def test_a_body_that_is_no_exporters_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(BodyError, match=reason):
        jupyter.judge(body, NO_COURSE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["eventName", "success", "student_id", "JUPYTERHUB_USER"]), inner)
    ),
    max_leaves=5,
)
PATHS = [
    ("data",), ("params",), ("env",), ("data", "eventDetail"), ("data", "notebookState"),
    ("data", "eventDetail", "eventName"), ("data", "eventDetail", "eventTime"), ("data", "eventDetail", "eventInfo"),
    ("data", "notebookState", "sessionID"), ("data", "notebookState", "notebookPath"), ("params", "student_id"),
]  # fmt: skip


@given(st.sampled_from(PATHS), JSON)
def test_any_value_in_any_place_is_an_event_or_is_told_why_not(path: tuple[str, ...], value: Any) -> None:
    body = sent()
    inner: Any = body
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    try:
        (found,) = jupyter.judge(json.dumps(body).encode(), NO_COURSE)
    except BodyError:
        return
    assert isinstance(found, Posted) or found.reason
