"""What the exporter of jupyterlab-pioneer sends, as an event. Pure.

One event a request: `{"data": {"eventDetail": …, "notebookState": …}, "params": …, "env": […]}`. What a notebook holds,
what was selected, copied or edited in it, and the environment that NotebookOpenEvent tells, are never looked at.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from gateway.ingest import ids
from gateway.ingest.judge import BodyError, Posted, Rejection
from wire import persons
from wire.events import Kind

KIND_OF_EVENT = {
    "CellExecuteEvent": Kind.CELL_EXECUTED,
    "NotebookOpenEvent": Kind.TASK_STARTED,
    "NotebookVisibleEvent": Kind.PAGE_VIEWED,
    "NotebookHiddenEvent": Kind.OTHER,  # he may read elsewhere; a session's end would close his request for help
    "NotebookSaveEvent": Kind.CONTENT_INTERACTED,
    "NotebookScrollEvent": Kind.CONTENT_INTERACTED,
    "ActiveCellChangeEvent": Kind.CONTENT_INTERACTED,
    "CellAddEvent": Kind.CONTENT_INTERACTED,
    "CellEditEvent": Kind.CONTENT_INTERACTED,
    "CellRemoveEvent": Kind.CONTENT_INTERACTED,
    "ClipboardCopyEvent": Kind.CONTENT_INTERACTED,
    "ClipboardCutEvent": Kind.CONTENT_INTERACTED,
    "ClipboardPasteEvent": Kind.CONTENT_INTERACTED,
}
# Where a field is looked for, the first that is there: in the exporter's `params`, then in its `env`.
SOURCES = {
    "student_id": ("student_id", ("STUDENT_ID", "JUPYTERHUB_USER")),
    "course_id": ("course_id", ("COURSE_ID",)),
    "team_id": ("team_id", ("TEAM_ID",)),
}
PLACES = {field: f"params.{param}" for field, (param, _) in SOURCES.items()} | {
    "task_id": "data.notebookState.notebookPath"
}

_LATEST_MS = 253_402_300_799_000  # the year 9999's end


class _Detail(msgspec.Struct):
    event_name: Annotated[str, Meta(min_length=1)] = msgspec.field(name="eventName")
    event_time_ms: Annotated[float, Meta(gt=0, le=_LATEST_MS)] = msgspec.field(name="eventTime")
    event_info: Raw = msgspec.field(name="eventInfo", default=Raw(b"null"))


class _State(msgspec.Struct):
    session_id: str | None = msgspec.field(name="sessionID", default=None)
    notebook_path: str | None = msgspec.field(name="notebookPath", default=None)


class _Data(msgspec.Struct):
    detail: _Detail = msgspec.field(name="eventDetail")
    state: _State | None = msgspec.field(name="notebookState", default=None)


class _Exported(msgspec.Struct):
    data: _Data
    params: dict[str, Any] | None = None
    env: list[dict[str, Any]] | None = None


class _Info(msgspec.Struct):
    success: bool | None = None


_exported = msgspec.json.Decoder(_Exported)
_info = msgspec.json.Decoder(_Info | None)


def judge(body: bytes, course_id: str) -> list[Posted | Rejection]:
    """Of the one event. `course_id`: where the exporter names none. Raises BodyError where it is no exporter's."""
    try:
        exported = _exported.decode(body)
        detail = exported.data.detail
        info = _info.decode(detail.event_info) if detail.event_name == "CellExecuteEvent" else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyError(f"{error}: expected what the exporter of jupyterlab-pioneer sends") from None
    except RecursionError:
        raise BodyError("nested too deep") from None
    student = _told(exported, "student_id")
    if student is None:
        param, names = SOURCES["student_id"]
        return [Rejection(None, PLACES["student_id"], f"is missing, and so are {', '.join(names)} in env ({param})")]
    student, course = persons.of_name(student), _told(exported, "course_id") or course_id
    state = exported.data.state or _State()
    told = (student, course, state.session_id, state.notebook_path, detail)
    return [
        ids.posted(
            ids.made_of(msgspec.json.encode(told)),
            PLACES,
            student_id=student,
            course_id=course,
            team_id=_told(exported, "team_id"),
            kind=KIND_OF_EVENT.get(detail.event_name, Kind.OTHER),
            verb=detail.event_name,
            occurred_at=datetime.fromtimestamp(detail.event_time_ms / 1000, UTC),
            task_id=state.notebook_path or None,
            success=info.success if info else None,
        )
    ]


def _told(exported: _Exported, field: str) -> str | None:
    param, names = SOURCES[field]
    values = [(exported.params or {}).get(param)]
    values += [variable[name] for name in names for variable in exported.env or () if name in variable]
    return next((value for value in values if isinstance(value, str) and value), None)
