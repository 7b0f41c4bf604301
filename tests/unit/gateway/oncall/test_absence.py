"""A pipeline is told to be without a worker once it has been so for longer than a restart takes."""

from gateway.oncall.absence import GRACE_S, Absence
from wire.workers import Heartbeat

GRACE_MS = int(GRACE_S * 1000)


def beat(app: str, sent_at_ms: int, *, ready: bool = True, paused: str = "") -> Heartbeat:
    return Heartbeat(
        worker_id=f"{app}-here-1", app=app, version="1", pid=1, web_port=1, started_at_ms=1, sent_at_ms=sent_at_ms,
        partitions={}, events_handled=0, last_progress_ms=None, lag_records=0, loop_lag_ms=0, ready=ready, reason="",
        paused=paused,
    )  # fmt: skip


def all_of(at_ms: int, *without: str) -> list[Heartbeat]:
    return [beat(app, at_ms) for app in ("aggregate", "live", "history") if app not in without]


def test_who_comes_back_soon_is_not_missed() -> None:
    absence = Absence()
    for at_ms in (0, 2_000):
        assert absence.told(all_of(at_ms), at_ms) == {}
    for at_ms in range(4_000, 2_000 + GRACE_MS + 1, 2_000):
        assert absence.told(all_of(at_ms, "live"), at_ms) == {}
    assert absence.told(all_of(13_000), 13_000) == {}


def test_who_stays_away_is_told_since_he_was_last_ready() -> None:
    absence = Absence()
    absence.told(all_of(2_000), 2_000)
    unready = [*all_of(4_000, "live"), beat("live", 4_000, ready=False)]
    assert absence.told(unready, 2_000 + GRACE_MS) == {}
    assert absence.told(unready, 2_001 + GRACE_MS) == {"live": 2_000}
    assert absence.heard(16_000)["live"] == "live-here-1 was last heard of 12 s ago"


def test_who_is_paused_does_not_work_as_health_has_it() -> None:
    absence = Absence()
    absence.told(all_of(2_000), 2_000)
    paused = [*all_of(13_000, "live"), beat("live", 13_000, paused="paused by ada")]
    assert absence.told(paused, 2_001 + GRACE_MS) == {"live": 2_000}


def test_who_was_never_there_is_told_after_a_while() -> None:
    absence = Absence()
    assert absence.told([], 5_000) == {}
    assert absence.told([], 5_001 + GRACE_MS) == {"aggregate": 5_000, "live": 5_000, "history": 5_000}


def test_after_heartbeats_could_not_be_read_nobody_is_missed_at_once() -> None:
    absence = Absence()
    absence.told(all_of(0), 0)
    for at_ms in range(2_000, 60_000, 2_000):
        assert absence.told(None, at_ms) == {}
    assert absence.told([], 60_000) == {}
    assert absence.told([], 58_001 + GRACE_MS) == {"aggregate": 58_000, "live": 58_000, "history": 58_000}
