"""Caliper envelopes (1EdTech Caliper Analytics 1.2, and 1.1, which Canvas sends) as events. Pure.

Of an event only what we need is read, and of an entity mostly its id. Any entity may stand as its IRI alone.
"""

import re
import uuid
from datetime import datetime
from typing import Annotated, Union

import msgspec
from msgspec import Meta, Raw

from gateway.ingest import ids
from gateway.ingest.judge import EVENTS_MAX, BodyError, Posted, Rejection
from wire import persons, xapi
from wire.events import Kind

KIND_OF_ACTION = {
    "LoggedIn": Kind.SESSION_STARTED,
    "LoggedOut": Kind.SESSION_ENDED,
    "TimedOut": Kind.SESSION_ENDED,
    "NavigatedTo": Kind.PAGE_VIEWED,
    "Viewed": Kind.PAGE_VIEWED,
    "Downloaded": Kind.RESOURCE_DOWNLOADED,
    "Started": Kind.TASK_STARTED,
    "Restarted": Kind.TASK_STARTED,
    "Launched": Kind.TASK_STARTED,
    "Completed": Kind.TASK_COMPLETED,
    "Submitted": Kind.ANSWER_SUBMITTED,
    "Posted": Kind.MESSAGE_POSTED,
    "Commented": Kind.MESSAGE_POSTED,
    "Used": Kind.CONTENT_INTERACTED,
    "Searched": Kind.CONTENT_INTERACTED,
    "Skipped": Kind.CONTENT_INTERACTED,
    "Paused": Kind.CONTENT_INTERACTED,
    "Resumed": Kind.CONTENT_INTERACTED,
    "Bookmarked": Kind.CONTENT_INTERACTED,
    "Highlighted": Kind.CONTENT_INTERACTED,
    "Tagged": Kind.CONTENT_INTERACTED,
    "Shared": Kind.CONTENT_INTERACTED,
}
# Where the type of the event changes what its action says; of a MediaEvent all others are of the player's controls.
KIND_OF_EVENT = {
    ("AssessmentItemEvent", "Completed"): Kind.ANSWER_SUBMITTED,
    ("MediaEvent", "Started"): Kind.VIDEO_PLAYED,
    ("MediaEvent", "Restarted"): Kind.VIDEO_PLAYED,
    ("MediaEvent", "Resumed"): Kind.VIDEO_PLAYED,
    ("MediaEvent", "Paused"): Kind.VIDEO_PAUSED,
    ("MediaEvent", "JumpedTo"): Kind.VIDEO_SEEKED,
    ("MediaEvent", "Ended"): Kind.VIDEO_COMPLETED,
}
TEAM_TYPES = ("Group",)  # a group of this type is a team, and its course is what it is part of; any other is the course
NO_TASKS = ("SoftwareApplication", "Session", "LtiSession", "Person")  # objects of these types
VERSION = r"^http://purl\.imsglobal\.org/ctx/caliper/v1p[12]\Z"

# Where the fields of an event of ours stand in one of Caliper's.
PLACES = {"student_id": "actor", "course_id": "group", "team_id": "group", "task_id": "object"}

_Text = Annotated[str, Meta(min_length=1)]
_Ref = Union["_Entity", str, None]


class _Entity(msgspec.Struct):
    id: str | None = None
    type: str | None = None
    assignee: _Ref = None  # of an attempt
    assignable: _Ref = None
    user: _Ref = None  # of a session
    sub_organization_of: _Ref = msgspec.field(name="subOrganizationOf", default=None)
    organization: _Ref = None  # of a membership
    score_given: float | None = msgspec.field(name="scoreGiven", default=None)
    max_score: float | None = msgspec.field(name="maxScore", default=None)
    duration: str | None = None


class _Event(msgspec.Struct):
    id: _Text
    type: _Text
    event_time: Annotated[datetime, Meta(tz=True)] = msgspec.field(name="eventTime")
    action: str | None = None
    actor: _Ref = None
    object: _Ref = None
    generated: _Ref = None
    group: _Ref = None
    membership: _Ref = None


class _Typed(msgspec.Struct):
    """What tells an event from an entity, which may lie in an envelope too."""

    id: str | None = None
    action: str | None = None


class _Envelope(msgspec.Struct):
    sensor: _Text
    send_time: Annotated[datetime, Meta(tz=True)] = msgspec.field(name="sendTime")
    data_version: Annotated[str, Meta(pattern=VERSION)] = msgspec.field(name="dataVersion")
    data: list[Raw]


_envelope = msgspec.json.Decoder(_Envelope)
_typed = msgspec.json.Decoder(_Typed | str)
_event = msgspec.json.Decoder(_Event)


def judge(body: bytes, course_id: str) -> list[Posted | Rejection]:
    """Of each of `data`, in order. `course_id`: of those that name none. Raises BodyError."""
    try:
        envelope = _envelope.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error).replace(f"Expected `str` matching regex {VERSION!r}", "expected Caliper 1.2 or 1.1")
        raise BodyError(f"{reason}: expected an envelope with sensor, sendTime, dataVersion and data") from None
    except RecursionError:
        raise BodyError("nested too deep") from None
    if not envelope.data:
        raise BodyError("data is empty")
    if len(envelope.data) > EVENTS_MAX:
        raise BodyError(f"data holds {len(envelope.data)}: at most {EVENTS_MAX} at once")
    return [_judge(data, course_id) for data in envelope.data]


def _judge(data: Raw, course_id: str) -> Posted | Rejection:
    try:
        typed = _typed.decode(data)
        if isinstance(typed, str) or typed.action is None:
            return Rejection(None, "action", "is missing: an entity tells of nothing that happened")
        event = _event.decode(data)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        return Rejection(None, place.strip("`.") or None, reason)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejection(None, None, f"cannot be read: {error}")
    return _posted(event, re.split(r"[/#]", typed.action)[-1], course_id)


def _posted(event: _Event, action: str, course_id: str) -> Posted | Rejection:
    event_id = _id(event.id)
    student = _student(event, action)
    if not student:
        return Rejection(str(event_id), "actor", "names no person: expected an IRI, or an entity with its id")
    group = event.group
    team = _iri(group) if isinstance(group, _Entity) and group.type in TEAM_TYPES else None
    course = _iri(group.sub_organization_of) if isinstance(group, _Entity) and team else _iri(group)
    if not course and isinstance(event.membership, _Entity) and not team:
        course = _iri(event.membership.organization)
    generated = event.generated if isinstance(event.generated, _Entity) else _Entity()
    return ids.posted(
        event_id,
        PLACES,
        student_id=persons.of_name(student),
        course_id=course or course_id,
        team_id=team,
        kind=_kind(event.type, action),
        verb=action or "none",
        occurred_at=event.event_time,
        task_id=_task(event.object),
        score=xapi.share(None, generated.score_given, 0, generated.max_score),
        duration_s=xapi.duration_s(generated.duration) if generated.duration else None,
    )


def _kind(event_type: str, action: str) -> Kind:
    found = KIND_OF_EVENT.get((event_type, action))
    if found is None and event_type == "MediaEvent":
        return Kind.CONTENT_INTERACTED
    return found or KIND_OF_ACTION.get(action, Kind.OTHER)


def _student(event: _Event, action: str) -> str | None:
    """Who did it; where a program or a teacher did it, to whom."""
    if isinstance(event.object, _Entity):
        if event.type == "GradeEvent":
            return _iri(event.object.assignee)
        if action == "TimedOut":
            return _iri(event.object.user)
    return _iri(event.actor)


def _task(thing: _Ref) -> str | None:
    """Of an attempt, what is attempted."""
    if isinstance(thing, _Entity):
        if thing.assignable is not None:
            return _iri(thing.assignable)
        if thing.type in NO_TASKS:
            return None
    return _iri(thing)


def _iri(ref: _Ref) -> str | None:
    return (ref.id if isinstance(ref, _Entity) else ref) or None


def _id(text: str) -> uuid.UUID:
    """`urn:uuid:…`, as 1.1 and 1.2 want it; of anything else, one that is always the same."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return ids.made_of(text.encode("utf-8", "surrogatepass"))
