"""What other formats name, as ids of ours. Pure."""

import hashlib
import uuid
from datetime import datetime
from functools import lru_cache

from gateway.ingest.judge import Posted, Rejection
from gateway.security.keys import ApiKey
from wire.events import ID_MAX, Kind, is_id

NO_COURSE = "no-course"  # where the key is not of one course alone
IDS_REMEMBERED = 32_768  # some 5 MB, 20 at most: of students, courses and tasks the same come again

_is_id = lru_cache(IDS_REMEMBERED)(is_id)


def made_of(content: bytes) -> uuid.UUID:
    """For what has none: sent again as it was, it has the same id, and counts once."""
    return uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=5)


def course_of(key: ApiKey) -> str:
    """Of what names none: the key's, if it is of one."""
    return next(iter(key.courses)) if key.courses is not None and len(key.courses) == 1 else NO_COURSE


def posted(
    event_id: uuid.UUID,
    places: dict[str, str],
    *,
    student_id: str,
    course_id: str,
    kind: Kind,
    occurred_at: datetime,
    verb: str,
    team_id: str | None = None,
    task_id: str | None = None,
    score: float | None = None,
    success: bool | None = None,
    duration_s: float | None = None,
) -> Posted | Rejection:
    """A Rejection where an id is none of ours; `places`: where each field stands in what was posted. A team's slashes,
    which its id cannot have, become colons."""
    team_id = team_id.replace("/", ":") if team_id else None
    named = (("student_id", student_id), ("course_id", course_id), ("team_id", team_id), ("task_id", task_id))
    for field, text in named:
        if text is not None and (len(text) > ID_MAX or not _is_id(text)):
            return Rejection(str(event_id), places[field], _EXPECTED)
    return Posted(
        event_id=event_id,
        student_id=student_id,
        course_id=course_id,
        team_id=team_id,
        kind=kind,
        occurred_at=occurred_at,
        task_id=task_id,
        score=score,
        success=success,
        duration_s=duration_s,
        verb=_verb(verb) if kind is Kind.OTHER else None,
    )


_EXPECTED = f"expected 1 to {ID_MAX} characters, none of them a control character, and no backslash at the end"


def _verb(verb: str) -> str | None:
    """Kept for people to read: of one that is too long, what fits."""
    return verb[:ID_MAX] if is_id(verb[:ID_MAX]) else None
