"""Posted xAPI statements as events. Pure. `wire/xapi.py` has what words mean, `statement.py` what a statement is."""

import uuid
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.ingest import ids
from gateway.ingest.judge import EVENTS_MAX, BodyError, Posted, Rejection
from gateway.ingest.xapi import statement as statements
from gateway.ingest.xapi.shapes import VOIDED, Activity, Agent, Object, Statement
from gateway.ingest.xapi.statement import StatementError
from wire import xapi

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


class Read(NamedTuple):
    """A statement that is as the specification has it."""

    id: uuid.UUID  # its own, else one made for it
    data: _Bytes
    statement: Statement
    thing: Object

    @property
    def is_event(self) -> bool:
        """What one student did. What is not can be kept, and nothing more."""
        return not self.voids and self.statement.actor.objectType != "Group"

    @property
    def voids(self) -> bool:
        return self.statement.verb.id == VOIDED


def read(body: bytes, version: int) -> list[Read | Rejection]:
    """Of one statement or a list, in order. `version`: 1 or 2. Raises BodyError, ConflictError."""
    found: list[Read | Rejection] = []
    seen: dict[uuid.UUID, _Bytes] = {}
    for index, data in enumerate(_split(body)):
        try:
            statement, thing = statements.read(data, version)
        except StatementError as error:
            found.append(Rejection(None, error.field, error.reason))
            continue
        one = Read(_id(statement, data), data, statement, thing)
        first = seen.setdefault(one.id, data)
        if first is not data and not _alike(first, data):
            raise ConflictError(f"statement {index}: another one before it has the same id, {one.id}")
        found.append(one)
    return found


def judge(body: bytes, version: int, course_id: str, now: datetime) -> list[Posted | Rejection]:
    """Of one statement or a list, in order. `version`: 1 or 2. `course_id`: of those that name none; `now`: when those
    happened that do not say it. Raises BodyError, ConflictError."""
    return [one if isinstance(one, Rejection) else posted(one, course_id, now) for one in read(body, version)]


def posted(one: Read, course_id: str, now: datetime) -> Posted | Rejection:
    """Its event. A Rejection also of what is none."""
    try:
        return _posted(one, course_id, now)
    except StatementError as error:
        return Rejection(None, error.field, error.reason)


def course(one: Read, course_id: str) -> str:
    """`course_id`: where it names none."""
    found = _course(one)
    return _name(found) if found else course_id


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


def _alike(first: _Bytes, other: _Bytes) -> bool:
    try:
        return bool(msgspec.json.decode(first) == msgspec.json.decode(other))
    except (msgspec.DecodeError, RecursionError):  # in what was left as bytes
        return bytes(first) == bytes(other)


def _id(statement: Statement, data: _Bytes) -> uuid.UUID:
    if statement.id is not UNSET:
        return statement.id
    # Without a time its bytes do not tell it from the next one like it.
    return uuid.uuid4() if statement.timestamp is UNSET else ids.made_of(bytes(data))


def _posted(one: Read, course_id: str, now: datetime) -> Posted | Rejection:
    """Raises StatementError for what the specification allows and we have no use for."""
    statement, thing = one.statement, one.thing
    if statement.verb.id == VOIDED:
        raise StatementError("verb.id", "no statement is kept here, so none can be voided: what happened stays counted")
    occurred_at = now
    if (text := statement.timestamp) is not UNSET:
        occurred_at = statements.moment(text, "timestamp")
    word = xapi.word(statement.verb.id)
    result = _given(statement.result)
    success = _given(result.success) if result else None
    duration = _given(result.duration) if result else None
    context = _given(statement.context)
    is_task = isinstance(thing, Activity) and not _is_course(thing)
    return ids.posted(
        one.id,
        PLACES,
        student_id=_student(statement.actor),
        course_id=course(one, course_id),
        team_id=_team(context.team) if context and context.team is not UNSET else None,
        kind=xapi.kind(word, _is_video(statement, thing)),
        verb=statement.verb.id,
        occurred_at=occurred_at,
        task_id=thing.id if isinstance(thing, Activity) and is_task else None,
        score=_score(statement),
        success=xapi.SUCCESS_OF_VERB.get(word) if success is None else success,
        duration_s=xapi.duration_s(duration) if duration else None,
    )


def _course(one: Read) -> Activity | None:
    found = next(filter(_is_course, statements.activities(one.statement)), None)
    if found is None and isinstance(one.thing, Activity) and _is_course(one.thing):
        return one.thing
    return found


def _given(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value


def _student(actor: Agent) -> str:
    if actor.objectType == "Group":
        raise StatementError("actor", "is a Group: here an event is one student's, so send one statement for each")
    return statements.person(actor)


def _team(group: Agent) -> str | None:
    """None where it has no identifier: its members do not name it."""
    named = any(each is not UNSET for each in (group.account, group.mbox, group.mbox_sha1sum, group.openid))
    return statements.person(group) if named else None


def _is_course(activity: Activity) -> bool:
    definition = activity.definition
    return definition is not UNSET and definition.type is not UNSET and definition.type in xapi.COURSE_TYPES


def _is_video(statement: Statement, thing: Object) -> bool:
    definition = thing.definition if isinstance(thing, Activity) else UNSET
    if definition is not UNSET and definition.type is not UNSET and definition.type.startswith(xapi.VIDEO):
        return True
    return any(activity.id == xapi.VIDEO for activity in statements.activities(statement))


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
