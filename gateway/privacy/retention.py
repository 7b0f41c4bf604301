"""Where something of a student lies, and how long. docs/security.md shows it, and tests hold the stores against it."""

from typing import NamedTuple

from wire import channels, topics
from wire.topics import Topic

# Kafka deletes a segment, whole, when its newest record is old enough, and closes one after so long.
SEGMENT_DAYS = 7
DAY_MS = 86_400_000

ROSTER = "PostgreSQL, roster"
ACCOUNTS = "PostgreSQL, accounts"
AUDIT_LOG = "PostgreSQL, `audit_log`"
STATEMENTS = "PostgreSQL, statements"
HISTORY = "history"
LIVE = "Redis, live values"


class Kept(NamedTuple):
    where: str
    what: str
    how_long: str
    erased: bool  # by `privacy erase`; else it goes by itself


def in_kafka(topic: str) -> str:
    return f"Kafka, `{topic}`"


def days(topic: Topic) -> int:
    """Until a record written now is gone, at most."""
    return (topic.retention_ms or 0) // DAY_MS + SEGMENT_DAYS


def _in_kafka(name: str, what: str) -> Kept:
    return Kept(in_kafka(name), what, f"{days(_TOPICS[name])} d at most", erased=False)


_TOPICS = topics.load()
STUDENTS = "aggregate-students-changelog"
STATE_GOES = "some 3 days after his newest event"

TABLE = (
    Kept(ROSTER, "his name, courses and teams", "until erased", erased=True),
    Kept(ACCOUNTS, "his account and its sessions", "until erased; a session 7 d after its end", erased=True),
    Kept(AUDIT_LOG, "what he did, and who looked at his numbers: ids and addresses", "for good", erased=False),
    Kept(STATEMENTS, "xAPI statements that name him, where they are kept", "until erased", erased=True),
    Kept(HISTORY, "his numbers, window by window", "until erased, or as its bucket has it", erased=True),
    Kept(
        LIVE,
        "his newest numbers, his last updates, his days",
        f"{channels.NOW_TTL_S // 3600} h; days {channels.DAY_TTL_S // 86_400} d",
        erased=True,
    ),
    _in_kafka(topics.ACTIVITY, "his events"),
    _in_kafka(topics.LATE, "those that came late"),
    _in_kafka(topics.DEAD_LETTERS, "those that could not be used"),
    _in_kafka(topics.METRICS, "his numbers, as they were told"),
    _in_kafka(topics.PARKED, "those that a store did not take"),
    Kept(in_kafka(STUDENTS), "what his numbers are made of", STATE_GOES, erased=False),
)
