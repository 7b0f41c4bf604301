"""Counts by minute and hour, which add up over processes and are bounded, drawn as timelines."""

from gateway.objectives import observed
from gateway.objectives.counts import HOUR_S, KEPT_S, MINUTE_S, Counts, Key, over
from gateway.objectives.promises import MONTH_S, NOTHING, Count
from gateway.telemetry import HTTP_REQUESTS, LIVE_LATENCY

DAY_S = 24 * HOUR_S
T = 1_000 * DAY_S + 12 * HOUR_S  # a full hour


def windows(counts: Counts, now_s: float, *others: tuple[Key, Count]) -> dict[int, Count]:
    return over([*counts.rows.items(), *others], now_s).get("a", {})


def test_each_window_has_what_lies_in_it() -> None:
    #            3 d ago    5 h ago    40 min ago   10 min ago    now
    #   bad/all   1/10        2/10        3/10         4/10       5/10
    counts = Counts()
    for bad, ago_s in ((1, 3 * DAY_S), (2, 5 * HOUR_S), (3, 2_400), (4, 600), (5, 0)):
        counts.add("a", Count(10 - bad, 10), T + 30 - ago_s)
    told = windows(counts, T + 59)
    assert {window_s: (count.bad, count.total) for window_s, count in told.items()} == {
        300: (5, 10),
        1_800: (9, 20),
        HOUR_S: (12, 30),
        6 * HOUR_S: (14, 40),
        MONTH_S: (15, 50),
    }


def test_a_minute_is_in_a_window_whole_or_not_at_all() -> None:
    counts = Counts()
    counts.add("a", Count(0, 1), T + 59)
    assert windows(counts, T + 300)[300] == Count(0, 1)
    assert windows(counts, T + 301)[300] == NOTHING


def test_processes_add_up() -> None:
    counts = Counts()
    counts.add("a", Count(1, 2), T)
    minute, hour = Key(MINUTE_S, T, "a"), Key(HOUR_S, T - 40 * HOUR_S, "a")
    told = windows(counts, T + 1, (minute, Count(3, 3)), (hour, Count(0, 5)), (Key(MINUTE_S, T, "b"), Count(9, 9)))
    assert (told[300], told[MONTH_S]) == (Count(4, 5), Count(1, 7))


def test_what_is_not_stored_is_kept_and_is_whole_not_an_increment() -> None:
    counts = Counts()
    counts.add("a", Count(1, 1), T)
    counts.add("a", NOTHING, T)
    first = counts.unstored()
    assert first == {Key(MINUTE_S, T, "a"): Count(1, 1), Key(HOUR_S, T, "a"): Count(1, 1)}
    counts.add("a", Count(0, 1), T + 60)  # while it was stored
    counts.stored(first)
    assert counts.unstored() == {Key(MINUTE_S, T + 60, "a"): Count(0, 1), Key(HOUR_S, T, "a"): Count(1, 2)}
    counts.stored(counts.unstored())
    assert counts.unstored() == {}


def test_it_is_bounded_however_long_nothing_is_stored() -> None:
    counts = Counts()
    for hour in range(40 * 24):
        counts.add("a", Count(1, 1), T + hour * HOUR_S)
        counts.forget(T + hour * HOUR_S)
    for span_s, kept_s in KEPT_S.items():
        ats = [key.at_s for key in counts.unstored() if key.span_s == span_s]
        assert len(ats) <= kept_s // HOUR_S + 1
        assert max(ats) - min(ats) <= kept_s + span_s
    assert counts.unstored().keys() == counts.rows.keys()


def test_what_is_observed_is_what_prometheus_scrapes() -> None:
    requests, updates = observed.requests(), observed.updates()
    for route, method, status in (
        ("/api/v1/events", "POST", "2xx"),
        ("/xapi/statements", "PUT", "5xx"),
        ("/ingest/caliper", "POST", "4xx"),
        ("/xapi/statements", "GET", "5xx"),  # read, not posted
        ("/xapi/{resource}", "POST", "5xx"),
        ("/api/v1/health", "GET", "5xx"),
    ):
        HTTP_REQUESTS.labels(route, method, status).inc()
    for at, took_s in (("paint", 0.2), ("paint", 1.0), ("paint", 1.001), ("frame", 3.0)):
        LIVE_LATENCY.labels(at).observe(took_s)
    assert observed.requests() == requests.plus(Count(2, 3))
    assert observed.updates() == updates.plus(Count(2, 3))
