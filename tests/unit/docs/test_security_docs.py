"""docs/security.md shows where something of a student lies and how long, as the code and topics.yaml have it."""

from pathlib import Path

from gateway.privacy import retention
from gateway.privacy.retention import SEGMENT_DAYS, TABLE, Kept, in_kafka
from wire import topics

PAGE = Path(__file__).parents[3] / "docs" / "security.md"


def _row(kept: Kept) -> str:
    return f"| {kept.where} | {kept.what} | {kept.how_long} | {'yes' if kept.erased else ''} |"


def test_the_page_shows_the_table() -> None:
    lines = PAGE.read_text().splitlines()
    first = lines.index("| where | what of him | how long | erased |") + 2
    assert lines[first : lines.index("", first)] == [_row(kept) for kept in TABLE]


def test_every_topic_with_a_students_records_is_in_it() -> None:
    """By their keys: those that have his id, or that of a scope that may be his."""
    known = topics.load()
    keyed = {name for name, topic in known.items() if topic.key == "student_id"} | {topics.METRICS, topics.PARKED}
    assert {in_kafka(name) for name in keyed} == {kept.where for kept in TABLE if kept.where.startswith("Kafka")}
    for name in keyed - {retention.STUDENTS}:
        kept = next(kept for kept in TABLE if kept.where == in_kafka(name))
        assert kept.how_long == f"{(known[name].retention_ms or 0) // 86_400_000 + SEGMENT_DAYS} d at most"
