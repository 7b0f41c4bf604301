"""What happened: one activity of one student, and its bytes in the topic `activity`.

Evolution: unknown fields are ignored, a new field has a default, no field changes its meaning. `tests/golden/` holds
the bytes of every version, and they go on decoding.
"""

import re
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Kind(StrEnum):
    """The bounded vocabulary of activity. A producer's own verbs are mapped to it at its adapter."""

    SESSION_STARTED = "session_started"  # logged in, opened the workspace
    SESSION_ENDED = "session_ended"  # logged out or timed out; closes an open help request
    PAGE_VIEWED = "page_viewed"
    RESOURCE_DOWNLOADED = "resource_downloaded"
    VIDEO_LOADED = "video_loaded"  # the player is ready
    VIDEO_PLAYED = "video_played"
    VIDEO_PAUSED = "video_paused"
    VIDEO_SEEKED = "video_seeked"
    VIDEO_COMPLETED = "video_completed"  # watched to the end
    VIDEO_CLOSED = "video_closed"  # the player was left
    CONTENT_INTERACTED = "content_interacted"  # any other control of a piece of content
    CELL_EXECUTED = "cell_executed"  # a notebook cell; `success` says how it went
    CODE_RUN = "code_run"  # a program or its tests; `success` says how it went
    TASK_STARTED = "task_started"
    TASK_COMPLETED = "task_completed"
    ANSWER_SUBMITTED = "answer_submitted"  # `score` and `success` where it was marked
    HINT_REQUESTED = "hint_requested"
    HELP_REQUESTED = "help_requested"  # asks for a person; open until resolved
    HELP_RESOLVED = "help_resolved"
    MESSAGE_POSTED = "message_posted"
    OTHER = "other"  # a verb no adapter knows


# NUL and other control characters have no place in an id: they end up in keys, paths and line protocol.
# A lone surrogate cannot be written as UTF-8, and msgspec refuses it when it decodes. A backslash may not be the last
# character: InfluxDB's line protocol cannot write such a tag. `\Z`, because `$` lets a newline through at the end.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\\]\Z"
_PRINTABLE_NO_SLASH = r"^[^\x00-\x1f\x7f/]*[^\x00-\x1f\x7f/\\]\Z"
ID_MAX = 128  # characters; xAPI actor and activity ids are up to about 100

Id = Annotated[str, Meta(min_length=1, max_length=ID_MAX, pattern=_PRINTABLE)]
TeamId = Annotated[str, Meta(min_length=1, max_length=ID_MAX, pattern=_PRINTABLE_NO_SLASH)]
Verb = Annotated[str, Meta(min_length=1, max_length=ID_MAX, pattern=_PRINTABLE)]
Score = Annotated[float, Meta(ge=0, le=1)]
DurationS = Annotated[float, Meta(ge=0, le=86_400)]


class ActivityEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One event as it lies in Kafka, keyed by `student_id`. Times are epoch milliseconds, UTC."""

    event_id: Id  # a UUID of the producer's, else made at the door; the same id counts once
    student_id: Id
    course_id: Id
    kind: Kind
    occurred_at_ms: int  # event time: by the producer's clock, corrected where he said when he sent it
    received_at_ms: int  # by the gateway's clock
    source: Id  # the producer's name, from its API key
    team_id: TeamId | None = None
    task_id: Id | None = None
    score: Score | None = None
    success: bool | None = None  # None: not something that can fail
    duration_s: DurationS | None = None
    clock_correction_ms: int | None = None  # added to what the producer said; None: he did not say when he sent it
    verb: Verb | None = None  # of kind `other`: what its producer calls it


_Text = Annotated[str, Meta(min_length=1, max_length=ID_MAX)]


class ReadEvent(msgspec.Struct, kw_only=True, gc=False):
    """An ActivityEvent as who reads millions of them takes it: the same fields and bounds, but for the patterns of ids,
    which cost three times as much as all the rest. Held against `is_id` and `is_team_id` when an id is seen first."""

    event_id: _Text
    student_id: _Text
    course_id: _Text
    kind: Literal[tuple(kind.value for kind in Kind)]  # type: ignore[valid-type]  # the plain text: an Enum's hash is made in Python
    occurred_at_ms: int
    received_at_ms: int
    source: _Text
    team_id: _Text | None = None
    task_id: _Text | None = None
    score: Score | None = None
    success: bool | None = None
    duration_s: DurationS | None = None
    clock_correction_ms: int | None = None
    verb: _Text | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ActivityEvent)

encode = _encoder.encode
read = msgspec.json.Decoder(ReadEvent).decode  # raises what `decode` raises
_is_id = re.compile(_PRINTABLE).search
_is_team_id = re.compile(_PRINTABLE_NO_SLASH).search


def is_id(text: str) -> bool:
    return _is_id(text) is not None


def is_team_id(text: str) -> bool:
    return _is_team_id(text) is not None


def decode(data: bytes) -> ActivityEvent:
    """Raises msgspec.DecodeError (not JSON) or msgspec.ValidationError (names field and reason)."""
    return _decoder.decode(data)
