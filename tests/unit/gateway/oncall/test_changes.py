"""What became wrong and right again in the last hour, drawn as a timeline."""

from gateway.oncall.changes import SYSTEM, Changes
from gateway.oncall.reasons import Level, Reason

MINUTE_MS = 60_000


def reason(about: str, level: Level = Level.DEGRADED, section: str = "stalled", since_ms: int | None = None) -> Reason:
    return Reason(about=about, level=level, rank=1, says=f"{about} is bad", section=section, since_ms=since_ms)


def told(changes: Changes, now_ms: int) -> list[tuple[int, str, str, str]]:
    return [(one.at_ms, one.about, one.before.value, one.after.value) for one in changes.lately(now_ms)]


def test_each_change_is_told_once_the_newest_first() -> None:
    changes = Changes()
    changes.note([], 0)
    for now_ms in (1_000, 2_000):
        changes.note([reason("kafka", Level.FAILING)], now_ms)
    changes.note([reason("kafka", Level.FAILING), reason("probe")], 3_000)
    changes.note([], 4_000)
    assert told(changes, 5_000) == [
        (4_000, SYSTEM, "failing", "ok"),
        (4_000, "probe", "degraded", "ok"),
        (4_000, "kafka", "failing", "ok"),
        (3_000, "probe", "ok", "degraded"),
        (1_000, SYSTEM, "ok", "failing"),
        (1_000, "kafka", "ok", "failing"),
    ]
    assert changes.since_ms == 4_000


def test_wrong_in_another_way_is_a_change_and_another_sentence_is_none() -> None:
    changes = Changes()
    changes.note([reason("group live", section="falling_behind")], 1_000)
    changes.note([reason("group live", section="stalled", since_ms=1_500)], 2_000)
    changes.note([reason("group live", section="stalled")], 3_000)
    assert [one[0] for one in told(changes, 4_000) if one[1] == "group live"] == [2_000, 1_000]
    assert changes.since_of("group live") == 1_500
    assert changes.since_of("kafka") is None
    assert changes.since_ms == 1_000


def test_it_keeps_an_hour_and_not_more_than_it_may() -> None:
    changes = Changes(kept_max=4)
    changes.note([reason("a")], 0)
    assert len(changes.lately(60 * MINUTE_MS)) == 2
    assert changes.lately(61 * MINUTE_MS) == []
    for number in range(10):
        changes.note([reason("a")] if number % 2 else [], 100 * MINUTE_MS + number)
    found = changes.lately(100 * MINUTE_MS + 10)
    assert len(found) == 4
    assert [one.number for one in found] == sorted((one.number for one in found), reverse=True)
