"""What the shadow keeps, and how it tells what differs."""

from pathlib import Path

from worker_process import point

from pipelines.history.store import Served
from pipelines.rebuild.difference import MERGE, Limits, Rebuilt, Verdict
from pipelines.rebuild.shadow import Line, Shadow, Tally
from wire.metrics import Metric, State

LIMITS = Limits(from_ms=0, seen_ms={MERGE: 2**60}, grace_ms=0, closed_ms=2**60)


def rebuilt(scope: str, value: float, minute: int, metric: Metric = Metric.EVENTS_PER_MINUTE) -> Rebuilt:
    return Rebuilt.of(scope, point(value, minute, metric, state=State.FINAL), MERGE)


def served(scope: str, value: float | None, n: int | None, minute: int) -> Served:
    return Served(scope, "events_per_minute", "", point(0, minute).start_ms, value, n)


def test_of_what_was_computed_the_last_stays_and_what_is_served_may_come_in_parts(tmp_path: Path) -> None:
    shadow = Shadow(str(tmp_path / "shadow.db"))
    shadow.put([rebuilt("course:c", 1, 0), rebuilt("course:c", 2, 1)])
    shadow.put([rebuilt("course:c", 3, 0), rebuilt("course:b", 4, 0)])
    shadow.put_served([served("course:c", 3.0, None, 0), served("course:c", 2.0, None, 1)])
    shadow.put_served([served("course:c", None, 3, 0), served("course:c", None, 9, 1)])
    tally = Tally()
    assert list(shadow.compare(LIMITS, tally)) == [3]
    assert tally.windows == {Verdict.SAME: 1, Verdict.DIFFERS: 1, Verdict.MISSING: 1}
    assert tally.scopes == 2
    missing, differs = shadow.differences()
    assert (missing.key[0], missing.rebuilt, missing.served) == ("course:b", rebuilt("course:b", 4, 0), None)
    assert (differs.rebuilt, differs.served) == (rebuilt("course:c", 2, 1), served("course:c", 2.0, 9, 1))
    shadow.close()
    assert (tmp_path / "shadow.db").stat().st_size > 0


def test_the_table_begins_with_where_most_differs_and_nothing_is_compared_that_begins_before() -> None:
    shadow = Shadow("")
    shadow.put(rebuilt("course:c", 1, minute) for minute in range(5))
    shadow.put_served([served("course:c", 7.0, 7, 0), served("course:a", 7.0, 7, 2), served("course:c", 7.0, 7, 4)])
    assert list(shadow.compare(LIMITS._replace(from_ms=point(0, 1).start_ms), Tally())) == [5]
    assert list(shadow.table()) == [
        Line("course:c", "events_per_minute", differs=1, missing=3, extra=0),
        Line("course:a", "events_per_minute", differs=0, missing=0, extra=1),
    ]
    shadow.close()
