"""xAPI statements (IEEE 9274.1.1, versions 1.0.3 and 2.0) as events of the door. Pure."""

import hashlib
import re
import uuid
from typing import Any

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
_DURATION = re.compile(r"^P(?:(\d+)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$")
_OWN_IDS = uuid.UUID("c1a55b01-5e00-4000-8000-000000000001")  # namespace of ids made from a statement's content


class StatementError(ValueError):
    """The statement cannot become an event; the message names the field."""


def event_of(statement: Any, course_id: str) -> Event:
    """One statement as an event. `course_id` is taken where the statement names no course. Raises StatementError."""
    if not isinstance(statement, dict):
        raise StatementError("the statement is not an object")
    verb = _text(statement, "verb", "id").rstrip("/").rpartition("/")[2].lower()
    result = statement.get("result") or {}
    event: Event = {
        "event_id": str(statement.get("id") or uuid.uuid5(_OWN_IDS, msgspec.json.encode(statement).decode())),
        "student_id": _student(statement),
        "course_id": _course(statement) or course_id,
        "kind": _kind(verb, statement).value,
        "occurred_at": _text(statement, "timestamp"),
    }
    if isinstance(task := (statement.get("object") or {}).get("id"), str):
        event["task_id"] = _short(task)
    if (score := _score(result.get("score") or {})) is not None:
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
    definition = (statement.get("object") or {}).get("definition") or {}
    category = ((statement.get("context") or {}).get("contextActivities") or {}).get("category") or []
    ids = [activity.get("id") for activity in category] if isinstance(category, list) else []
    return _VIDEO in ids or str(definition.get("type", "")).startswith(_VIDEO)


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
    activities = (statement.get("context") or {}).get("contextActivities") or {}
    for relation in ("parent", "grouping"):
        named = activities.get(relation) or []
        for activity in named if isinstance(named, list) else [named]:
            if (activity.get("definition") or {}).get("type") in _COURSE_TYPES:
                return _short(str(activity["id"]))
    return None


def _score(score: dict[str, Any]) -> float | None:
    """0..1: `scaled` where it is given (a negative one is left out), else `raw` between `min` and `max`."""
    scaled = score.get("scaled")
    if scaled is None and {"raw", "min", "max"} <= score.keys() and score["max"] > score["min"]:
        scaled = (score["raw"] - score["min"]) / (score["max"] - score["min"])
    return float(scaled) if isinstance(scaled, int | float) and 0 <= scaled <= 1 else None


def _duration_s(text: Any) -> float | None:
    match = _DURATION.match(text) if isinstance(text, str) else None
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _short(text: str) -> str:
    """Ids too long for us are hashed: still the same for the same thing."""
    return text if len(text) <= ID_MAX else hashlib.sha256(text.encode()).hexdigest()
