"""xAPI statements (IEEE 9274.1.1, versions 1.0.3 and 2.0) as events of the door. Pure."""

import hashlib
import uuid
from typing import Any

import msgspec

from producers.door import Event
from wire import persons, xapi
from wire.events import ID_MAX

_OWN_IDS = uuid.UUID("c1a55b01-5e00-4000-8000-000000000001")  # namespace of ids made from a statement's content


class StatementError(ValueError):
    """The statement cannot become an event; the message names the field."""


def event_of(statement: Any, course_id: str) -> Event:
    """One statement as an event. `course_id` is taken where the statement names no course. Raises StatementError."""
    if not isinstance(statement, dict):
        raise StatementError("the statement is not an object")
    verb = _text(statement, "verb", "id")
    word = xapi.word(verb)
    result = _object(statement, "result")
    id_ = statement.get("id") or uuid.uuid5(_OWN_IDS, msgspec.json.encode(statement).decode())
    event: Event = {
        "event_id": id_ if isinstance(id_, str) else str(id_),
        "student_id": _student(statement),
        "course_id": _course(statement) or course_id,
        "kind": xapi.kind(word, _is_video(statement)).value,
        "occurred_at": _text(statement, "timestamp"),
    }
    if isinstance(task := _object(statement, "object").get("id"), str) and task:
        event["task_id"] = _short(task)
    if (score := _score(_object(statement, "result", "score"))) is not None:
        event["score"] = score
    if isinstance(result.get("success"), bool):
        event["success"] = result["success"]
    elif word in xapi.SUCCESS_OF_VERB:
        event["success"] = xapi.SUCCESS_OF_VERB[word]
    duration = result.get("duration")
    if isinstance(duration, str) and (duration_s := xapi.duration_s(duration)) is not None:
        event["duration_s"] = duration_s
    return event


def _is_video(statement: dict[str, Any]) -> bool:
    kind = str(_object(statement, "object", "definition").get("type", ""))
    return kind.startswith(xapi.VIDEO) or any(one.get("id") == xapi.VIDEO for one in _activities(statement, "category"))


def _object(statement: dict[str, Any], *path: str) -> dict[str, Any]:
    """The object at that place, an empty one where there is none. Raises StatementError where it is something else."""
    inner: Any = statement
    for depth, name in enumerate(path, 1):
        inner = inner.get(name)
        if inner is None:
            return {}
        if not isinstance(inner, dict):
            raise StatementError(f"{'.'.join(path[:depth])} is not an object")
    return dict(inner)


def _activities(statement: dict[str, Any], relation: str) -> list[dict[str, Any]]:
    """The context's activities of one relation; before xAPI 1.0.3 a single one was not in a list."""
    named = _object(statement, "context", "contextActivities").get(relation) or []
    named = named if isinstance(named, list) else [named]
    if not all(isinstance(one, dict) for one in named):
        raise StatementError(f"context.contextActivities.{relation} holds something that is no activity")
    return named


def _text(statement: dict[str, Any], *path: str) -> str:
    value: Any = statement
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise StatementError(f"{'.'.join(path)} is missing")
    return value


def _student(statement: dict[str, Any]) -> str:
    """So that no name reaches Kafka."""
    actor = statement.get("actor")
    actor = actor if isinstance(actor, dict) else {}
    account = actor.get("account")
    if isinstance(account, dict) and isinstance(account.get("name"), str) and account["name"]:
        return _short(persons.of_name(account["name"]))
    for inverse_functional in ("mbox", "mbox_sha1sum"):
        if isinstance(value := actor.get(inverse_functional), str) and value:
            return persons.of_address(value)
    if isinstance(value := actor.get("openid"), str) and value:
        return persons.of_url(value)
    raise StatementError("actor has neither account.name, mbox, mbox_sha1sum nor openid")


def _course(statement: dict[str, Any]) -> str | None:
    for relation in ("parent", "grouping"):
        for activity in _activities(statement, relation):
            if _object(activity, "definition").get("type") in xapi.COURSE_TYPES:
                return _short(_text(activity, "id"))
    return None


def _score(score: dict[str, Any]) -> float | None:
    return xapi.share(*(_number(score.get(name)) for name in ("scaled", "raw", "min", "max")))


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _short(text: str) -> str:
    """Ids too long for us are hashed: still the same for the same thing."""
    return text if len(text) <= ID_MAX else hashlib.sha256(text.encode()).hexdigest()
