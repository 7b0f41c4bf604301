"""Posted xAPI statements as events. Pure. `wire/xapi.py` has what words mean, `statement.py` what a statement is."""

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.ingest import ids
from gateway.ingest.judge import EVENTS_MAX, BodyError, Posted, Rejection
from gateway.ingest.xapi import statement as statements
from gateway.ingest.xapi.statement import VOIDED, Activity, Agent, Object, Statement, StatementError
from wire import persons, xapi

# What an LMS calls a course itself, where it is told to send that: so that roster and statements say the same.
COURSE_NAMES = (
    "https://w3id.org/learning-analytics/learning-management-system/external-id",
    "https://w3id.org/learning-analytics/learning-management-system/short-id",
)

# Where the fields of an event stand in a statement.
PLACES = {
    "student_id": "actor",
    "course_id": "context.contextActivities",
    "task_id": "object.id",
    "team_id": "context.team",
}

_body = msgspec.json.Decoder(list[Raw] | dict[str, Raw])
_fields = msgspec.json.Decoder(dict[str, Raw])
_uuid = msgspec.json.Decoder(uuid.UUID)
_text = msgspec.json.Decoder(str)
_Bytes = bytes | Raw
T = TypeVar("T")


class ConflictError(Exception):
    """One id stands over two statements that are not the same."""


def judge(body: bytes, version: int, course_id: str, now: datetime) -> list[Posted | Rejection]:
    """Of one statement or a list, in order. `version`: 1 or 2. `course_id`: of those that name none; `now`: when those
    happened that do not say it. Raises BodyError, ConflictError."""
    verdicts = []
    seen: dict[uuid.UUID | None, _Bytes] = {}
    for index, data in enumerate(_split(body)):
        verdict = _judge(data, version, course_id, now)
        if isinstance(verdict, Posted):
            first = seen.setdefault(verdict.event_id, data)
            if first is not data and msgspec.json.decode(first) != msgspec.json.decode(data):
                raise ConflictError(f"statement {index}: another one before it has the same id, {verdict.event_id}")
        verdicts.append(verdict)
    return verdicts


def named(body: bytes) -> tuple[dict[str, Raw], uuid.UUID | None]:
    """The fields of one statement, and the id that it gives itself. Raises BodyError where it is no single one."""
    try:
        fields = _fields.decode(body)
        return fields, _uuid.decode(fields["id"]) if "id" in fields else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyError(f"expected one statement: {error}") from None
    except RecursionError:
        raise BodyError("nested too deep") from None


def _split(body: bytes) -> list[_Bytes]:
    try:
        body.decode()  # the decoder does not look into what is left as bytes, as in extensions
        found = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyError(f"{error}: expected a statement or a list of statements") from None
    except RecursionError:
        raise BodyError("nested too deep") from None
    if isinstance(found, dict):
        return [body]
    if not found:
        raise BodyError("the list is empty")
    if len(found) > EVENTS_MAX:
        raise BodyError(f"{len(found)} statements: at most {EVENTS_MAX} at once")
    return [*found]


def _judge(data: _Bytes, version: int, course_id: str, now: datetime) -> Posted | Rejection:
    try:
        statement, thing = statements.read(data, version)
        return _posted(statement, thing, data, course_id, now)
    except StatementError as error:
        return Rejection(None, error.field, error.reason)


def _posted(statement: Statement, thing: Object, data: _Bytes, course_id: str, now: datetime) -> Posted | Rejection:
    """Raises StatementError for what the specification allows and we have no use for."""
    if statement.verb.id == VOIDED:
        raise StatementError("verb.id", "no statement is kept here, so none can be voided: what happened stays counted")
    occurred_at = now
    if (text := statement.timestamp) is not UNSET:
        occurred_at = statements.moment(text, "timestamp")
    if (event_id := statement.id) is UNSET:
        # Without a time its bytes do not tell it from the next one like it.
        event_id = uuid.uuid4() if text is UNSET else ids.made_of(bytes(data))
    word = xapi.word(statement.verb.id)
    result = _given(statement.result)
    success = _given(result.success) if result else None
    duration = _given(result.duration) if result else None
    context = _given(statement.context)
    course = next(filter(_is_course, _activities(statement)), None)
    is_task = isinstance(thing, Activity) and not _is_course(thing)
    if course is None and isinstance(thing, Activity) and not is_task:
        course = thing
    return ids.posted(
        event_id,
        PLACES,
        student_id=_student(statement.actor),
        course_id=_name(course) if course else course_id,
        team_id=_team(context.team) if context and context.team is not UNSET else None,
        kind=xapi.kind(word, _is_video(statement, thing)),
        verb=statement.verb.id,
        occurred_at=occurred_at,
        task_id=thing.id if isinstance(thing, Activity) and is_task else None,
        score=_score(statement),
        success=xapi.SUCCESS_OF_VERB.get(word) if success is None else success,
        duration_s=xapi.duration_s(duration) if duration else None,
    )


def _given(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value


def _student(actor: Agent) -> str:
    if actor.objectType == "Group":
        raise StatementError("actor", "is a Group: here an event is one student's, so send one statement for each")
    return _person(actor)


def _person(agent: Agent) -> str:
    if agent.account is not UNSET:
        return persons.of_name(agent.account.name)
    if agent.mbox is not UNSET:
        return persons.of_address(agent.mbox)
    if agent.mbox_sha1sum is not UNSET:
        return persons.of_address(agent.mbox_sha1sum)
    return persons.of_url(agent.openid or "")


def _team(group: Agent) -> str | None:
    """None where it has no identifier: its members do not name it."""
    return None if (group.account, group.mbox, group.mbox_sha1sum, group.openid).count(UNSET) == 4 else _person(group)


def _activities(statement: Statement) -> Iterator[Activity]:
    """Those of its context, the nearest first."""
    context = _given(statement.context)
    related = _given(context.contextActivities) if context else None
    if related is not None:
        for each in (related.parent, related.grouping, related.other, related.category):
            if each is not UNSET:
                yield from each if isinstance(each, list) else (each,)


def _is_course(activity: Activity) -> bool:
    definition = activity.definition
    return definition is not UNSET and definition.type is not UNSET and definition.type in xapi.COURSE_TYPES


def _is_video(statement: Statement, thing: Object) -> bool:
    definition = thing.definition if isinstance(thing, Activity) else UNSET
    if definition is not UNSET and definition.type is not UNSET and definition.type.startswith(xapi.VIDEO):
        return True
    return any(activity.id == xapi.VIDEO for activity in _activities(statement))


def _name(course: Activity) -> str:
    """By its own name, else its IRI."""
    extensions = course.definition.extensions if course.definition is not UNSET else UNSET
    if extensions is not UNSET:
        for iri in COURSE_NAMES:
            try:
                if name := _text.decode(extensions[iri]):
                    return name
            except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
    return course.id


def _score(statement: Statement) -> float | None:
    score = statement.result.score if statement.result is not UNSET else UNSET
    if score is UNSET:
        return None
    return xapi.share(_given(score.scaled), _given(score.raw), _given(score.min), _given(score.max))
