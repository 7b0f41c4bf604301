"""Which windows are told when, and as what: timelines over one scope, whose values are counted event by event."""

from collections import Counter
from collections.abc import Collection, Iterable

from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate.clock import Clock
from pipelines.aggregate.points import Reading
from pipelines.aggregate.telling import POINTS_MAX, Passage, Teller, in_parcels
from pipelines.aggregate.windows import DAY_MS, HOUR_MS, PANE_MS, pane_of
from wire import metrics
from wire.metrics import Metric, MetricPoint, State
from wire.partials import DayCounts, HourCounts, NowCounts, PaneCounts
from wire.scopes import ScopeKind

T = 1_638_187_200_000  # 2021-11-29T12:00:00Z
P, F, C = State.PROVISIONAL, State.FINAL, State.CORRECTED


class Room:
    """A course of which each event is another student's; and its Teller, as Merge leads it. Times: seconds after T."""

    def __init__(self, kind: ScopeKind = ScopeKind.COURSE) -> None:
        self.kind = kind
        self.events: list[float] = []
        self.waiting: dict[int, int] = {}
        self.teller = Teller()
        self.told = Clock(0, 0, 0)
        self.kept_closed_ms = 0

    @property
    def panes(self) -> Collection[int]:
        return {pane_of(ms(at)) for at in self.events}

    @property
    def hours(self) -> Collection[int]:
        return {ms(at) // HOUR_MS for at in self.events}

    @property
    def days(self) -> Collection[int]:
        return {ms(at) // DAY_MS for at in self.events}

    @property
    def now(self) -> NowCounts:
        return NowCounts(seen=dict(Counter(pane_of(ms(at)) for at in self.events)), waiting=self.waiting)

    def window(self, last_pane: int, width: int) -> tuple[PaneCounts, int]:
        number = sum(last_pane - width < pane_of(ms(at)) <= last_pane for at in self.events)
        return PaneCounts(events=number), number

    def hour(self, number: int) -> HourCounts | None:
        events = sum(ms(at) // HOUR_MS == number for at in self.events)
        return HourCounts(events, students=events) if events else None

    def day(self, number: int) -> DayCounts | None:
        events = sum(ms(at) // DAY_MS == number for at in self.events)
        return DayCounts(kinds={"code_run": events}, students=events) if events else None

    def news(self, window: int, readings: Iterable[Reading]) -> list[Reading]:
        return self.teller.news(window, readings)

    def happens(self, *at_s: float) -> None:
        for at in at_s:
            self.events.append(at)
            time_ms = ms(at)
            self.teller.changed([pane_of(time_ms)], [time_ms // HOUR_MS], [time_ms // DAY_MS], now=True)

    def tell(self, now_s: float, closed_s: float = -DAY_MS / 1000) -> list[MetricPoint]:
        clock = Clock(ms(now_s), ms(closed_s) + 120_000, ms(closed_s))
        passage, self.told = Passage(self.told, clock, self.kept_closed_ms), clock
        return self.teller.points(self, passage)

    @property
    def asleep(self) -> bool:
        return self.teller.asleep(self.told)

    def killed(self, closed_s: float, told_closed_s: float) -> None:
        """And restored, from what had been committed."""
        self.told = Clock(self.told.now_ms, 0, ms(told_closed_s))
        self.kept_closed_ms = ms(closed_s)
        self.teller = Teller()
        self.teller.restore(self)


def ms(at_s: float) -> int:
    return T + int(at_s * 1000)


def windows(points: list[MetricPoint], metric: Metric) -> dict[float, tuple[float, State]]:
    """End in minutes after T → value, state."""
    return {(point.end_ms - T) / 60_000: (point.value, point.state) for point in points if point.metric is metric}


def minutes(points: list[MetricPoint]) -> dict[float, tuple[float, State]]:
    return windows(points, Metric.EVENTS_PER_MINUTE)


def test_a_minute_is_provisional_then_final_once_then_corrected() -> None:
    #   minute      |----1----|----2----|----3----|----4----|
    #   events       x  y                        .z          (z happened in the first)
    #   head                  ^1:05     ^2:05     ^3:05
    #   closed                           1:00      1:00
    room = Room()
    room.happens(5, 20)
    assert minutes(room.tell(20)) == {0.5: (2, P)}, "the newest, still filling"
    assert minutes(room.tell(65))[1] == (2, P), "it is over"
    assert 1 not in minutes(room.tell(70)), "told already"
    assert minutes(room.tell(125, closed_s=60))[1] == (2, F)
    assert 1 not in minutes(room.tell(135, closed_s=60))
    room.happens(30)
    assert minutes(room.tell(185, closed_s=60))[1] == (3, C)
    assert 1 not in minutes(room.tell(195, closed_s=60))
    room.happens(31)
    assert minutes(room.tell(195, closed_s=60))[1] == (4, C), "and again"


def test_a_window_is_told_final_though_time_jumps_over_it() -> None:
    room = Room()
    room.happens(5)
    told = room.tell(7_010, closed_s=6_890)
    assert minutes(told) == {1: (1, F), 117: (0, P)}
    assert windows(told, Metric.ACTIVE_STUDENTS) == {**dict.fromkeys(range(1, 6), (1, F)), 117: (0, P)}
    assert windows(told, Metric.EVENTS_PER_HOUR) == {60: (1, F)}


def test_a_change_while_open_is_told_again_as_provisional() -> None:
    room = Room()
    room.happens(5)
    room.tell(130)
    room.happens(50)
    assert minutes(room.tell(130)) == {1: (2, P), 140 / 60: (0, P)}


def test_a_window_without_an_event_is_told_only_while_it_is_the_newest() -> None:
    #   minute      |----1----|----2----|----3----|
    #   events       x
    room = Room()
    room.happens(5)
    room.tell(5)
    assert minutes(room.tell(119)) == {1: (1, P), 2: (0, P)}
    assert minutes(room.tell(500, closed_s=380)) == {1: (1, F), 510 / 60: (0, P)}
    room.happens(70)
    assert minutes(room.tell(500, closed_s=380))[2] == (1, C), "it was closed as an empty one"


def test_of_an_open_day_and_hour_only_what_has_changed_is_told_and_when_it_closes_all_of_it() -> None:
    room = Room()
    room.happens(5)
    assert windows(room.tell(5), Metric.EVENTS_BY_KIND) == {12 * 60: (1, P)}
    assert not windows(room.tell(15), Metric.EVENTS_BY_KIND)
    room.happens(16)
    told = room.tell(16)
    assert (windows(told, Metric.EVENTS_PER_DAY), windows(told, Metric.EVENTS_PER_HOUR)) == (
        {12 * 60: (2, P)},
        {60: (2, P)},
    )
    room.teller.changed(hours=[T // HOUR_MS], days=[T // DAY_MS])
    assert room.tell(16) == [], "said again, and the same"
    noon_s = 12 * 3_600
    told = room.tell(noon_s + 130, closed_s=noon_s)
    for metric, end in (
        (Metric.EVENTS_PER_HOUR, 60),
        (Metric.ACTIVE_STUDENTS_HOUR, 60),
        (Metric.EVENTS_PER_DAY, 720),
        (Metric.EVENTS_BY_KIND, 720),
        (Metric.ACTIVE_STUDENTS_DAY, 720),
    ):
        assert windows(told, metric) == {end: (2, F)}
    room.happens(17)
    assert windows(room.tell(noon_s + 130, closed_s=noon_s), Metric.EVENTS_PER_DAY) == {720: (3, C)}


def test_what_lies_ahead_of_the_newest_pane_waits_for_it() -> None:
    #   minute      |----1----|----2----|
    #   event        ...................x 1:50     by a clock ahead of the others
    #   head         ^0:05              ^1:59
    room = Room()
    room.happens(110)
    assert minutes(room.tell(5)) == {1 / 6: (0, P)}
    assert minutes(room.tell(119)) == {2: (1, P)}


def test_live_values_fall_as_the_head_moves_and_then_it_sleeps_until_something_happens() -> None:
    #   event        x 0:05
    #   head         0:05    1:10    5:10    33:00 (present no more)    day over
    room = Room()
    room.happens(5)
    for now_s, active, present in ((5, 1, 1), (70, 1, 1), (310, 0, 1), (1_795, 0, 1), (1_805, 0, 0)):
        told = room.tell(now_s)
        assert list(windows(told, Metric.ACTIVE_STUDENTS).values())[-1][0] == active, now_s
        assert list(windows(told, Metric.PRESENT_STUDENTS).values())[-1][0] == present, now_s
    room.tell(1_820)
    assert room.tell(1_830) == []
    assert not room.asleep, "its windows are still open"
    room.tell(90_000, closed_s=86_400)
    assert room.asleep
    room.happens(90_000)
    assert minutes(room.tell(90_000, closed_s=86_400)) != {}


def test_who_waits_keeps_it_awake_for_a_day() -> None:
    room = Room()
    room.waiting = {ms(5): 1}
    room.teller.changed(now=True)
    assert windows(room.tell(5), Metric.LONGEST_WAIT_S) == {1: (0, P)}
    assert windows(room.tell(3_605), Metric.LONGEST_WAIT_S) == {61: (3_600, P)}
    assert room.tell(2 * 86_400) != []
    assert room.tell(2 * 86_400 + 10) == []
    assert room.asleep


def test_a_student_has_no_hours() -> None:
    room = Room(ScopeKind.STUDENT)
    room.happens(5)
    assert {point.window_s for point in room.tell(5)} == {60, 300, 86_400}
    assert {point.window_s for point in room.tell(90_000, closed_s=86_400)} == {60, 300, 86_400}
    assert room.asleep


def test_killed_between_closing_and_telling_it_tells_what_was_closed() -> None:
    #   minute      |----1----|----2----|
    #   event        x
    #   closed                           1:00 committed, ✗ not told
    room = Room()
    room.happens(5)
    room.tell(70)
    room.killed(closed_s=60, told_closed_s=0)
    assert minutes(room.tell(70, closed_s=60)) == {1: (1, F)}


def test_killed_it_does_not_take_a_correction_for_a_final() -> None:
    #   minute      |----1----|----2----|
    #   events       x                    y (of the first), which was told as corrected ✗ and is read again
    #   closed                           1:00
    room = Room()
    room.happens(5)
    room.tell(70)
    room.killed(closed_s=60, told_closed_s=0)
    room.happens(6)
    assert minutes(room.tell(70, closed_s=60))[1] == (2, C)


def test_killed_it_does_not_tell_again_what_was_told_long_ago() -> None:
    room = Room()
    room.happens(5, 600)
    room.tell(605, closed_s=480)
    room.killed(closed_s=480, told_closed_s=480)
    assert min(minutes(room.tell(615, closed_s=480))) > 8
    room = Room()
    room.happens(5)
    room.tell(90_000, closed_s=86_400)
    room.killed(closed_s=86_400, told_closed_s=86_400)
    assert room.asleep


def test_killed_before_a_minute_was_over_it_tells_it_when_it_is() -> None:
    room = Room()
    room.happens(5)
    room.tell(5)
    room.killed(closed_s=-120, told_closed_s=-120)
    assert minutes(room.tell(65))[1] == (1, P)


def test_what_is_no_longer_kept_is_not_told() -> None:
    room = Room()
    room.happens(5, 400)
    room.tell(405)
    room.teller.forget(ms(10))
    told = room.tell(1_000, closed_s=880)
    assert {end for end, (_, state) in windows(told, Metric.ACTIVE_STUDENTS).items() if state is F} == {7, 8, 9, 10, 11}
    room.teller.forget(ms(86_400))
    room.tell(9_000, closed_s=8_000)
    assert room.asleep


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 90), st.lists(st.integers(-400, 0), max_size=3), st.booleans()),
        min_size=1,
        max_size=25,
    )
)
def test_every_window_with_an_event_is_final_once_and_corrected_only_after_that(
    steps: list[tuple[int, list[int], bool]],
) -> None:
    """Steps: seconds that pass, events so far behind that, whether what has passed is committed."""
    room = Room()
    now_s, closed_s = 1_000, -1_000
    seen: dict[tuple[Metric, int], list[MetricPoint]] = {}
    for passed_s, events, commits in [*steps, (100_000, [], True)]:
        now_s += passed_s
        room.happens(*(now_s + behind_s for behind_s in events))
        if commits:
            closed_s = (now_s - 120) // 10 * 10
        for point in room.tell(now_s, closed_s):
            seen.setdefault((point.metric, point.start_ms), []).append(point)
    for points in seen.values():
        states = [point.state for point in points if point.n]
        assert states == sorted(states, key=[P, F, C].index)
        assert states.count(F) <= 1
        assert F in states or C not in states or P not in states, "a correction of what was told, but not as final"
    per_minute = {start: points[-1] for (metric, start), points in seen.items() if metric is Metric.EVENTS_PER_MINUTE}
    for start_ms, number in Counter(ms(at) // 60_000 * 60_000 for at in room.events).items():
        assert per_minute[start_ms].value == number
        assert per_minute[start_ms].state in (F, C)
    assert room.asleep


def test_an_update_holds_at_most_so_many_points_and_the_newest_of_a_metric_come_last() -> None:
    """A day and more of one event a minute, read in one go."""
    room = Room()
    room.events = [minute * 60.0 for minute in range(1_500)]
    room.teller.changed([pane_of(ms(at)) for at in room.events])
    updates = in_parcels("course:py101", room.tell(1_500 * 60))
    assert len(updates) > 3
    assert max(len(update.points) for update in updates) == POINTS_MAX
    assert max(len(metrics.encode(update)) for update in updates) < 300_000
    ends = [point.end_ms for update in updates for point in update.points if point.metric is Metric.EVENTS_PER_MINUTE]
    assert ends == sorted(ends)
    assert len(set(ends)) == len(ends) == 1_501  # every minute, and the newest pane
    assert ends[-1] == ms(1_500 * 60) + PANE_MS
