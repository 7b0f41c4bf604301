"""A worker that took its heartbeat away was asked to stop; one whose heartbeat expired was not."""

from gateway.lag import causes
from gateway.lag.memory import KEPT_MS, Memory
from gateway.lag.samples import Gone, Phase, Sample
from gateway.lag.summary import Place
from wire.channels import WORKER_TTL_S
from wire.workers import Heartbeat

TTL_MS = WORKER_TTL_S * 1000
PLACE = Place("live", "metrics", 3)


def beat(number: int, sent_at_ms: int) -> Heartbeat:
    return Heartbeat(
        worker_id=f"live-here-{number}", app="live", version="1", pid=1, web_port=1, started_at_ms=1,
        sent_at_ms=sent_at_ms, partitions={"metrics": [3]}, events_handled=0, last_progress_ms=None, lag_records=0,
        loop_lag_ms=0, ready=True, reason="",
    )  # fmt: skip


def test_one_that_was_asked_to_stop_takes_its_heartbeat_away() -> None:
    memory = Memory()
    memory.note([beat(1, 10_000)], 11_000)
    memory.note([], 13_000)
    assert memory.gone(PLACE, 14_000) == Gone("live-here-1", 4.0, left=True)
    assert memory.silent("live") == []
    memory.note([beat(1, 15_000)], 15_000)  # its heartbeats were lost with Redis, and it is there
    assert memory.gone(PLACE, 15_000) == Gone("live-here-1", 0.0, left=False)


def test_one_that_was_killed_is_not_heard_of_any_more() -> None:
    memory = Memory()
    memory.note([beat(1, 10_000)], 11_000)
    memory.note([], 10_000 + TTL_MS)
    assert memory.gone(PLACE, 22_000) == Gone("live-here-1", 12.0, left=False)
    assert [one.worker_id for one in memory.silent("live")] == ["live-here-1"]
    assert memory.died_ms("live", 15_000, 6.0) == []
    assert memory.died_ms("live", 22_000, 6.0) == [12_000]
    memory.note([beat(2, 23_000)], 23_000)
    assert memory.gone(PLACE, 23_000) == Gone("live-here-2", 0.0, left=False)


def test_who_never_had_it_and_who_was_there_long_ago_is_not_named() -> None:
    memory = Memory()
    memory.note([beat(1, 10_000)], 11_000)
    assert memory.gone(PLACE._replace(partition=4), 11_000) is None
    assert memory.gone(PLACE._replace(group="history"), 11_000) is None
    memory.note([], 10_000 + KEPT_MS)
    assert memory.gone(PLACE, 10_000 + KEPT_MS) is None


def test_the_words_for_it() -> None:
    sample = Sample(at_s=1, committed=0, position=0, first=0, end=2, phase=Phase.EMPTY, gone=Gone("live-1", 12, True))
    start = "no member has owned it for 12 s and the group has no members, with 2 records unread"
    assert causes.nobody(12, sample) == f"{start}; its worker live-1 was asked to stop, 12 s ago"
    sample = Sample(at_s=1, committed=0, position=0, first=0, end=2, phase=Phase.EMPTY, gone=Gone("live-1", 13, False))
    assert causes.nobody(12, sample) == (
        f"{start}; its worker live-1 was last heard of 13 s ago, and did not say that it goes: it was killed, or is "
        f"frozen"
    )
