"""What xAPI's words mean as activity. Pure.

Here, because two processes read statements, the gateway's door and the replay of an export, and a statement must count
the same whichever way it came. docs/ways-in.md explains the tables.
"""

import re

from wire.events import Kind

# The last word of a verb's IRI decides: vocabularies differ in their hosts, not in their words.
KIND_OF_VERB = {
    "initialized": Kind.TASK_STARTED,
    "launched": Kind.TASK_STARTED,
    "attempted": Kind.TASK_STARTED,
    "started": Kind.TASK_STARTED,
    "start": Kind.TASK_STARTED,
    "completed": Kind.TASK_COMPLETED,
    "passed": Kind.TASK_COMPLETED,
    "failed": Kind.TASK_COMPLETED,
    "answered": Kind.ANSWER_SUBMITTED,
    "submitted": Kind.ANSWER_SUBMITTED,
    "submit": Kind.ANSWER_SUBMITTED,
    "played": Kind.VIDEO_PLAYED,
    "paused": Kind.VIDEO_PAUSED,
    "seeked": Kind.VIDEO_SEEKED,
    "interacted": Kind.CONTENT_INTERACTED,
    "downloaded": Kind.RESOURCE_DOWNLOADED,
    "viewed": Kind.PAGE_VIEWED,
    "experienced": Kind.PAGE_VIEWED,
    "accessed": Kind.PAGE_VIEWED,
    "read": Kind.PAGE_VIEWED,
    "ran": Kind.CODE_RUN,
    "executed": Kind.CODE_RUN,
    "asked": Kind.HELP_REQUESTED,
    "commented": Kind.MESSAGE_POSTED,
    "replied": Kind.MESSAGE_POSTED,
    "posted": Kind.MESSAGE_POSTED,
    "post": Kind.MESSAGE_POSTED,
    "logged-in": Kind.SESSION_STARTED,
    "logged-out": Kind.SESSION_ENDED,
    "terminated": Kind.SESSION_ENDED,
    "abandoned": Kind.SESSION_ENDED,
}
# Of a video these say something else.
KIND_OF_VIDEO_VERB = {
    "initialized": Kind.VIDEO_LOADED,
    "completed": Kind.VIDEO_COMPLETED,
    "terminated": Kind.VIDEO_CLOSED,
}
VIDEO = "https://w3id.org/xapi/video"  # the profile's category; its activity types begin with it
SUCCESS_OF_VERB = {"passed": True, "failed": False}  # where the result does not say it
COURSE_TYPES = frozenset(
    {
        "http://adlnet.gov/expapi/activities/course",
        "http://vocab.xapi.fr/activities/course",
        "http://id.tincanapi.com/activitytype/lms/course",
        "https://w3id.org/xapi/cmi5/activitytype/course",
    }
)

DURATION_MAX = 64  # characters
DURATION_S_MAX = 86_400  # more is what a page left open makes; `duration_s` takes no more
DURATION = (
    r"^P(?=[0-9T])(?:[0-9]+(?:[.,][0-9]+)?W|(?:[0-9]+(?:[.,][0-9]+)?Y)?(?:[0-9]+(?:[.,][0-9]+)?M)?"
    r"(?:[0-9]+(?:[.,][0-9]+)?D)?(?:T(?=[0-9])(?:[0-9]+(?:[.,][0-9]+)?H)?(?:[0-9]+(?:[.,][0-9]+)?M)?"
    r"(?:[0-9]+(?:[.,][0-9]+)?S)?)?)\Z"
)  # ISO 8601's
_is_duration = re.compile(DURATION).search
_PART = re.compile(r"([0-9.,]+)([A-Z])")
_SECONDS = {"W": 604_800, "D": 86_400, "H": 3_600, "M": 60, "S": 1}


def word(iri: str) -> str:
    """The last word of a verb's IRI."""
    return iri.rstrip("/#").rpartition("/")[2].rpartition("#")[2].lower()


def kind(word_: str, is_video: bool) -> Kind:
    if is_video and word_ in KIND_OF_VIDEO_VERB:
        return KIND_OF_VIDEO_VERB[word_]
    return KIND_OF_VERB.get(word_, Kind.OTHER)


def share(scaled: float | None, raw: float | None, low: float | None, high: float | None) -> float | None:
    """A score as 0..1: `scaled` where it is given, else `raw` between its bounds; None where that is not in 0..1."""
    if scaled is None:
        if low is None or raw is None or high is None or high <= low:
            return None
        scaled = (raw - low) / (high - low)
    return float(scaled) if 0 <= scaled <= 1 else None


def duration_s(text: str) -> float | None:
    """None where it is no ISO 8601 duration, has years or months, which have no length, or more than a day."""
    if len(text) > DURATION_MAX or not _is_duration(text):
        return None
    date, _, time = text[1:].partition("T")
    total_s = 0.0
    for part, units in ((date, ("W", "D")), (time, ("H", "M", "S"))):
        for number, unit in _PART.findall(part):
            if unit not in units:
                return None
            total_s += float(number.replace(",", ".")) * _SECONDS[unit]
    return total_s if total_s <= DURATION_S_MAX else None
