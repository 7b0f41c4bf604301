"""Posted xAPI statements as events. Pure. `wire/xapi.py` has what words mean, `statement.py` what a statement is."""

import uuid
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.ingest import ids
from gateway.ingest.judge import EVENTS_MAX, BodyError, Posted, Rejection
from gateway.ingest.xapi import statement as statements
from gateway.ingest.xapi.shapes import VOIDED, Activity, Agent, ContextActivities, Object, Statement
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
    seen: dict[int, _Bytes] = {}  # by id; a UUID's own hash is made in Python
    for index, data in enumerate(_split(body)):
        try:
            statement, thing = statements.read(data, version)
        except StatementError as error:
            found.append(Rejection(None, error.field, error.reason))
            continue
        one = Read(_id(statement, data), data, statement, thing)
        first = seen.setdefault(one.id.int, data)
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
    return _about(one).course or course_id


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
    statement = one.statement
    if statement.verb.id == VOIDED:
        raise StatementError("verb.id", "no statement is kept here, so none can be voided: what happened stays counted")
    occurred_at = now
    if (text := statement.timestamp) is not UNSET:
        occurred_at = statements.moment(text, "timestamp")
    word, about = xapi.word(statement.verb.id), _about(one)
    result = _given(statement.result)
    success = _given(result.success) if result else None
    duration = _given(result.duration) if result else None
    context = _given(statement.context)
    return ids.posted(
        one.id,
        PLACES,
        student_id=_student(statement.actor),
        course_id=about.course or course_id,
        team_id=_team(context.team) if context and context.team is not UNSET else None,
        kind=xapi.kind(word, about.is_video),
        verb=statement.verb.id,
        occurred_at=occurred_at,
        task_id=about.task,
        score=_score(statement),
        success=xapi.SUCCESS_OF_VERB.get(word) if success is None else success,
        duration_s=xapi.duration_s(duration) if duration else None,
    )


class _About(NamedTuple):
    """What a statement's activities say. None: not, or it names none."""

    course: str | None
    task: str | None
    is_video: bool


def _about(one: Read) -> _About:
    thing = one.thing if isinstance(one.thing, Activity) else None
    looking = _looked if len(one.data) <= statements.STATEMENT_BYTES else _looked.__wrapped__
    return looking(statements.related(one.statement), thing)


@lru_cache(statements.KNOWN_MAX)
def _looked(related: ContextActivities | None, thing: Activity | None) -> _About:
    nearest = [*statements.activities(related)]
    course = next(filter(_is_course, [*nearest, thing] if thing else nearest), None)
    return _About(
        course=_name(course) if course else None,
        task=thing.id if thing and not _is_course(thing) else None,
        is_video=any(each.id == xapi.VIDEO for each in nearest) or (thing is not None and _is_video(thing)),
    )


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
    return _type(activity) in xapi.COURSE_TYPES


def _is_video(activity: Activity) -> bool:
    return _type(activity).startswith(xapi.VIDEO)


def _type(activity: Activity) -> str:
    """Its IRI; "" where it says none."""
    definition = activity.definition
    return definition.type if definition is not UNSET and definition.type is not UNSET else ""


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
