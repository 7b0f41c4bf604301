"""xAPI statements (IEEE 9274.1.1, versions 1.0.3 and 2.0) as events of the door. Pure."""

import hashlib
import re
import uuid
from typing import Any, TypeGuard

import msgspec

from producers.door import Event
from wire.events import ID_MAX, Kind

# The last part of a verb's IRI decides: vocabularies differ in their hosts, not in their words.
KIND_OF_VERB = {
    "initialized": Kind.VIDEO_LOADED,
    "played": Kind.VIDEO_PLAYED,
    "paused": Kind.VIDEO_PAUSED,
    "seeked": Kind.VIDEO_SEEKED,
    "completed": Kind.VIDEO_COMPLETED,
    "terminated": Kind.VIDEO_CLOSED,
    "interacted": Kind.CONTENT_INTERACTED,
    "downloaded": Kind.RESOURCE_DOWNLOADED,
    "viewed": Kind.PAGE_VIEWED,
    "experienced": Kind.PAGE_VIEWED,
    "launched": Kind.TASK_STARTED,
    "attempted": Kind.TASK_STARTED,
    "answered": Kind.ANSWER_SUBMITTED,
    "submitted": Kind.ANSWER_SUBMITTED,
    "passed": Kind.TASK_COMPLETED,
    "failed": Kind.TASK_COMPLETED,
    "asked": Kind.HELP_REQUESTED,
    "commented": Kind.MESSAGE_POSTED,
    "logged-in": Kind.SESSION_STARTED,
    "logged-out": Kind.SESSION_ENDED,
}
_VIDEO = "https://w3id.org/xapi/video"
# Outside a video these verbs say something else.
_KIND_ELSEWHERE = {
    "initialized": Kind.TASK_STARTED,
    "completed": Kind.TASK_COMPLETED,
    "terminated": Kind.SESSION_ENDED,
}
_COURSE_TYPES = ("http://adlnet.gov/expapi/activities/course", "http://vocab.xapi.fr/activities/course")
DURATION_S_MAX = 86_400
_DURATION = re.compile(r"^P(?:(\d+)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$")
_OWN_IDS = uuid.UUID("c1a55b01-5e00-4000-8000-000000000001")  # namespace of ids made from a statement's content


class StatementError(ValueError):
    """The statement cannot become an event; the message names the field."""


def event_of(statement: Any, course_id: str) -> Event:
    """One statement as an event. `course_id` is taken where the statement names no course. Raises StatementError."""
    if not isinstance(statement, dict):
        raise StatementError("the statement is not an object")
    verb = _text(statement, "verb", "id").rstrip("/").rpartition("/")[2].lower()
    result = _object(statement, "result")
    id_ = statement.get("id") or uuid.uuid5(_OWN_IDS, msgspec.json.encode(statement).decode())
    event: Event = {
        "event_id": id_ if isinstance(id_, str) else str(id_),
        "student_id": _student(statement),
        "course_id": _course(statement) or course_id,
        "kind": _kind(verb, statement).value,
        "occurred_at": _text(statement, "timestamp"),
    }
    if isinstance(task := _object(statement, "object").get("id"), str) and task:
        event["task_id"] = _short(task)
    if (score := _score(_object(statement, "result", "score"))) is not None:
        event["score"] = score
    if isinstance(result.get("success"), bool):
        event["success"] = result["success"]
    elif verb in ("passed", "failed"):
        event["success"] = verb == "passed"
    if (duration_s := _duration_s(result.get("duration"))) is not None:
        event["duration_s"] = duration_s
    return event


def _kind(verb: str, statement: dict[str, Any]) -> Kind:
    if verb in _KIND_ELSEWHERE and not _is_video(statement):
        return _KIND_ELSEWHERE[verb]
    return KIND_OF_VERB.get(verb, Kind.OTHER)


def _is_video(statement: dict[str, Any]) -> bool:
    kind = _object(statement, "object", "definition").get("type", "")
    return str(kind).startswith(_VIDEO) or any(one.get("id") == _VIDEO for one in _activities(statement, "category"))


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
    """An account's name as it is; an address or a hash is hashed, so that no name reaches Kafka."""
    actor = statement.get("actor")
    actor = actor if isinstance(actor, dict) else {}
    account = actor.get("account")
    if isinstance(account, dict) and isinstance(account.get("name"), str) and account["name"]:
        return _short(account["name"])
    for inverse_functional in ("mbox", "mbox_sha1sum", "openid"):
        if isinstance(value := actor.get(inverse_functional), str) and value:
            return hashlib.sha256(value.encode()).hexdigest()[:32]
    raise StatementError("actor has neither account.name, mbox, mbox_sha1sum nor openid")


def _course(statement: dict[str, Any]) -> str | None:
    for relation in ("parent", "grouping"):
        for activity in _activities(statement, relation):
            if _object(activity, "definition").get("type") in _COURSE_TYPES:
                return _short(_text(activity, "id"))
    return None


def _score(score: dict[str, Any]) -> float | None:
    """0..1: `scaled` where it is given (a negative one is left out), else `raw` between `min` and `max`."""
    scaled = score.get("scaled")
    if scaled is None:
        low, raw, high = score.get("min"), score.get("raw"), score.get("max")
        if not (_is_number(low) and _is_number(raw) and _is_number(high)) or high <= low:
            return None
        scaled = (raw - low) / (high - low)
    return float(scaled) if _is_number(scaled) and 0 <= scaled <= 1 else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _duration_s(text: Any) -> float | None:
    match = _DURATION.match(text) if isinstance(text, str) else None
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total_s = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return total_s if total_s <= DURATION_S_MAX else None  # what a page left open makes; the door would refuse it


def _short(text: str) -> str:
    """Ids too long for us are hashed: still the same for the same thing."""
    return text if len(text) <= ID_MAX else hashlib.sha256(text.encode()).hexdigest()
