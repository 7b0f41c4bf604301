"""Every state and what leads from one to the other, on drawn timelines; and what must not alarm anybody."""

import copy
import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timelines import STEP_S, Timeline, runs

from gateway.lag.causes import Cause
from gateway.lag.samples import Sample, Window, Worker
from gateway.lag.states import State
from gateway.lag.verdict import step

OK, IDLE, LATE, CATCHING_UP = State.OK, State.IDLE, State.FALLING_BEHIND, State.CATCHING_UP
STALLED, STOPPED, REWOUND, LOSING = State.STALLED, State.STOPPED, State.REWOUND, State.LOSING_DATA
WITHIN = 7  # steps: 14 s
ALIVE = Worker(worker_id="live-here-1", silent_s=1.0)


def running(**options: object) -> Timeline:
    """A minute of 100 records a step, all read at once."""
    timeline = Timeline(**options)  # type: ignore[arg-type]
    assert runs(timeline.go(30, came="100", worker=ALIVE)) == [OK]
    return timeline


def first_of(state: State, states: list[State]) -> int:
    """In which step it was said."""
    return states.index(state) + 1


# What must not alarm anybody.


def test_a_group_with_nothing_to_do_is_idle_after_a_minute() -> None:
    timeline = Timeline()
    assert runs(timeline.go(90)) == [OK, IDLE]
    assert timeline.last.says == "nothing has come for 3 min, and all is read"
    assert runs(timeline.go(2, came="5 0", read="0 +")) == [OK]


def test_a_slow_trickle_is_no_alarm() -> None:
    # A record a minute, read in the step after it came: a commit is 60 s old each time one comes.
    trickle = " ".join(["1", *"0" * 29] * 8)
    read = " ".join(["0", "+", *["+"] * 28] * 8)
    assert set(Timeline().go(240, came=trickle, read=read)) <= {OK, IDLE}


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_commit_every_few_seconds_under_load_is_no_alarm(steps: int) -> None:
    # every 2, 4 and 6 s
    read = " ".join(["+", *"0" * (steps - 1)] * 100)
    assert runs(Timeline().go(100, came="60000", read=read)) == [OK]


def test_commits_between_samples_that_leave_a_second_unread_are_no_alarm() -> None:
    assert runs(Timeline().go(60, came="1000", read="500 1000")) == [OK]


@pytest.mark.parametrize("away", range(1, 6))
def test_a_rolling_restart_is_no_alarm(away: int) -> None:
    # Members leave, are away for up to 10 s, and come back under other names; the group takes 4 s to let them in.
    timeline = running()
    for name in "bcd":
        timeline.go(away, came="100", read="0", owner=".")
        timeline.go(2, came="100", read="0", owner="~")
        timeline.go(8, came="100", read="0 +", owner=name)
    assert runs(verdict.state for verdict in timeline.verdicts) == [OK]


def test_who_does_not_read_has_no_pace_and_who_reads_and_does_not_commit_has_one() -> None:
    timeline = running()
    assert runs(timeline.go(7, came="100", read="0", owner=". . . . ~")) == [OK]
    assert timeline.last.says.endswith("and nothing committed for 14 s: it may be on its way")
    works = dataclasses.replace(ALIVE, progress_s=0.5)
    assert LATE in running().go(7, came="100", read="0", worker=works)


def test_an_idle_group_may_restart_and_rebalance_too() -> None:
    timeline = Timeline()
    timeline.go(60)
    assert runs(timeline.go(20, owner=". . . . . ~ ~ b")) == [IDLE]


def test_who_commits_once_in_twenty_seconds_is_known_for_it() -> None:
    timeline = Timeline()
    read = " ".join(["+", *"0" * 9] * 30)
    timeline.go(60, came="10", read=read)
    assert STALLED not in runs(timeline.go(100, came="10", read=read))


# What is wrong.


def test_stopped_when_nobody_owns_it() -> None:
    timeline = running()
    # The worker is killed; after three steps its session is over.
    states = timeline.go(10, came="100", read="0", owner="a a a .")
    assert first_of(STOPPED, states) <= WITHIN
    assert timeline.last.cause is Cause.NOBODY
    assert "no member has owned it for" in timeline.last.says
    assert "the group has no members, with 1,000 records unread" in timeline.last.says
    back = timeline.go(8, came="100", read="0 + +", owner="~ b")
    assert first_of(OK, back) <= WITHIN
    assert runs(back) in ([STOPPED, OK], [STOPPED, STALLED, OK])


def test_stopped_also_where_nothing_comes() -> None:
    timeline = Timeline()
    timeline.go(60)
    assert runs(timeline.go(10, owner=".")) == [IDLE, STOPPED]
    assert timeline.last.says == "no member has owned it for 20 s and the group has no members"


def test_stalled_when_its_worker_lives_and_does_not_get_on() -> None:
    timeline = running()
    states = timeline.go(20, came="100", read="0", worker=ALIVE)
    assert first_of(STALLED, states) <= WITHIN
    assert timeline.last.cause is Cause.STILL
    assert timeline.last.says == (
        "the heartbeat of its worker live-here-1 is 1 s old, but it has stood at offset 3000 for 40 s while 2,000 "
        "records arrived"
    )
    assert runs(timeline.go(8, came="100", worker=ALIVE)) == [STALLED, OK]


def test_stalled_with_what_the_worker_says_of_it() -> None:
    busy = dataclasses.replace(ALIVE, reason="a batch has been under way for 41 s")
    timeline = running()
    timeline.go(10, came="100", read="0", worker=busy)
    assert timeline.last.says.endswith("records arrived: a batch has been under way for 41 s")


def test_a_worker_that_works_is_given_time_for_its_commit() -> None:
    works = dataclasses.replace(ALIVE, progress_s=0.5)
    timeline = running()
    assert STALLED not in timeline.go(14, came="100", read="0", worker=works)
    assert STALLED in timeline.go(3, came="100", read="0", worker=works)
    assert timeline.last.says.endswith("records arrived, and it finishes records of others")


def test_stalled_by_a_store_that_is_away_is_told_sooner() -> None:
    held = dataclasses.replace(ALIVE, held_by="influxdb: cannot connect")
    timeline = running()
    states = timeline.go(5, came="100", read="0", worker=held)
    assert first_of(STALLED, states) <= 3
    assert timeline.last.cause is Cause.STORE_AWAY
    assert "a store that is away: influxdb: cannot connect" in timeline.last.says


def test_paused_by_hand_is_said_at_once_with_who_and_why_also_where_nothing_is_unread() -> None:
    timeline = running()
    paused = dataclasses.replace(ALIVE, paused="paused by ann until noon: Redis moves")
    assert timeline.go(1, worker=paused) == [STALLED]
    assert timeline.last.cause is Cause.PAUSED
    assert timeline.last.says == "its worker live-here-1 is paused by ann until noon: Redis moves; 0 records unread"
    assert runs(timeline.go(60, came="100", read="0", worker=paused)) == [STALLED]
    assert timeline.last.cause is Cause.PAUSED
    # Resumed, it is given its time: that it has not committed for two minutes is nobody's fault.
    back = timeline.go(10, came="100", read="0 0 +", worker=ALIVE)
    assert (timeline.last.cause, back[-1]) == (Cause.NONE, OK)
    assert {verdict.cause for verdict in timeline.verdicts[-10:]} <= {Cause.PAUSED, Cause.NONE, Cause.SLOW}


def test_a_paused_worker_that_is_not_heard_of_any_more_is_silent() -> None:
    timeline = running()
    timeline.go(5, came="100", read="0", worker=dataclasses.replace(ALIVE, paused="paused by ann"))
    silent = dataclasses.replace(ALIVE, paused="paused by ann", silent_s=9.0)
    timeline.go(10, came="100", read="0", worker=silent)
    assert timeline.last.cause is Cause.SILENT


def test_without_redis_nobody_is_heard_and_who_writes_there_is_held_by_it() -> None:
    deaf = lambda _, sample: dataclasses.replace(sample, deaf="no answer")  # noqa: E731 -- Redis is away
    timeline = running()
    assert STALLED in timeline.go(8, came="100", read="0", changes=deaf)
    assert timeline.last.cause is Cause.STILL
    assert timeline.last.says.endswith("; no heartbeats can be read: no answer")
    held = lambda _, sample: dataclasses.replace(sample, deaf="no answer", store_away="redis: no answer")  # noqa: E731
    timeline = running()
    assert STALLED in timeline.go(4, came="100", read="0", changes=held)
    assert "its member a has waited 8 s for a store that is away: redis: no answer" in timeline.last.says


@pytest.mark.parametrize(
    ("worker", "mute"), [(dataclasses.replace(ALIVE, silent_s=9.0), 0), (None, 1)], ids=["lately", "expired"]
)
def test_stalled_by_a_worker_that_is_silent(worker: Worker | None, mute: int) -> None:
    timeline = running()
    states = timeline.go(8, came="100", read="0", worker=worker, mute=mute)
    assert first_of(STALLED, states) <= WITHIN
    assert timeline.last.cause is Cause.SILENT
    assert "heartbeat" in timeline.last.says


def test_stalled_while_its_group_rebalances() -> None:
    timeline = running()
    states = timeline.go(10, came="100", read="0", owner="~")
    assert first_of(STALLED, states) <= WITHIN
    assert timeline.last.cause is Cause.REBALANCING
    assert timeline.last.says == "its group has been rebalancing for 18 s, with 1,000 records unread"


def test_stalled_by_a_poison_record_that_each_owner_meets() -> None:
    timeline = running()
    states = timeline.go(20, came="100", read="0", owner="a a ~ b b ~ c c ~ d d ~ e e ~ f")
    assert STALLED in states
    assert timeline.last.cause is Cause.POISON
    assert "owners, one after the other, got no further than offset 3000" in timeline.last.says


def test_stalled_by_a_poison_record_of_which_each_worker_dies_before_a_third_has_it() -> None:
    # The group waits for the session of each dead one before it lets the next one in: 6 s and more.
    timeline = running()
    began_s = timeline.now_s
    died = (began_s - 1, began_s + 5)  # last heard of

    def deaths(number: int, sample: Sample) -> Sample:
        return dataclasses.replace(sample, died_s=tuple(at_s for at_s in died if at_s + 6 < began_s + STEP_S * number))

    states = timeline.go(10, came="100", read="0", owner="a a ~ b b ~ ~ ~ ~ ~", changes=deaths)
    assert first_of(STALLED, states) <= WITHIN
    assert timeline.last.cause is Cause.POISON
    assert "2 workers, one after the other, died and got no further than offset 3000" in timeline.last.says


def test_two_workers_that_died_are_no_poison_where_the_second_got_on() -> None:
    timeline = running()
    died = (timeline.now_s - 1, timeline.now_s + 21)
    timeline.go(10, came="100", owner="a a ~ b")
    deaths = lambda _, sample: dataclasses.replace(sample, died_s=died)  # noqa: E731 -- both are known to be dead
    states = timeline.go(10, came="100", read="0", owner="b b b .", changes=deaths)
    assert first_of(STOPPED, states) <= WITHIN


def test_a_worker_started_again_under_the_same_membership_is_another_owner() -> None:
    timeline = running()
    for number in range(5):
        timeline.go(3, came="100", read="0", worker=Worker(worker_id=f"live-here-{number}", silent_s=1.0))
    assert timeline.last.cause is Cause.POISON


def test_restoring_tables_is_given_its_time() -> None:
    restoring = dataclasses.replace(ALIVE, reason="recovering its tables")
    timeline = running()
    states = timeline.go(25, came="100", read="0", worker=restoring)
    assert STALLED not in states
    assert (timeline.last.state, timeline.last.cause) == (CATCHING_UP, Cause.RESTORING)
    assert STALLED in timeline.go(8, came="100", read="0", worker=restoring)


def test_falling_behind_when_more_comes_than_is_read() -> None:
    timeline = running()
    states = timeline.go(30, came="100", read="50")
    assert runs(states) == [OK, LATE]
    assert first_of(LATE, states) <= 11  # at half the speed it is 5 s late after 10 s
    assert first_of(LATE, running().go(30, came="100", read="10")) <= WITHIN
    assert timeline.last.cause is Cause.SLOW
    assert "50.0 come a second, 25.0 are read" in timeline.last.says


def test_a_hot_partition_is_named() -> None:
    timeline = running(share=0.83)
    timeline.go(30, came="100", read="50")
    assert timeline.last.cause is Cause.HOT_PARTITION
    assert timeline.last.says.endswith("83% of what comes into the topic comes into this partition")


def test_catching_up_and_when_it_will_be_done() -> None:
    timeline = running()
    timeline.go(40, came="100", read="50")
    states = timeline.go(40, came="100", read="200")
    assert runs(states) == [LATE, CATCHING_UP, OK]
    told = next(one for one in reversed(timeline.verdicts) if one.state is CATCHING_UP and ", done in" in one.says)
    assert told.measures is not None
    assert told.measures.catch_up_s == pytest.approx(told.measures.lag / 50)


def test_a_flood_that_is_being_read_is_not_called_falling_behind() -> None:
    timeline = running()
    states = timeline.go(20, came="100000 0", read="10000")
    assert LATE not in states
    assert runs(states) == [OK, CATCHING_UP, OK]


def test_a_steady_distance_is_falling_behind_and_does_not_flap() -> None:
    timeline = running()
    timeline.go(40, came="100", read=" ".join(["50"] * 20 + ["100"]))
    assert runs(timeline.go(60, came="100", read=" ".join(["0 200"] * 30))) == [LATE]


def test_rewound_until_it_is_where_it_was() -> None:
    timeline = running()
    timeline.committed = 1_000
    states = timeline.go(3, came="100", read="400")
    assert states[0] is REWOUND
    assert timeline.verdicts[-3].says == "its offset went back from 3000 to 1400: 1,600 records to be read again"
    assert "still to come" in timeline.last.says
    assert runs(timeline.go(20, came="100", read="400")) == [REWOUND, OK]


def test_rewound_and_left_alone_is_stopped() -> None:
    timeline = running()
    timeline.committed = 0
    assert runs(timeline.go(10, came="100", read="0", owner=".")) == [REWOUND, STOPPED]


def test_losing_data_at_once_and_a_minute_longer() -> None:
    timeline = running()
    timeline.go(10, came="100", read="0", owner=".")
    timeline.first = timeline.committed + 40
    assert timeline.go(1, came="100", read="0", owner=".") == [LOSING]
    assert (timeline.last.cause, timeline.last.confidence) == (Cause.DELETED_UNREAD, 1.0)
    assert timeline.last.says == (
        "deleted unread: 40 records; it stands at offset 3000, and the first that is left is 3040"
    )
    states = timeline.go(60, came="100", owner="b")
    assert runs(states) == [LOSING, OK]
    assert 60 / STEP_S - 2 <= first_of(OK, states) <= 60 / STEP_S + 2
    assert timeline.last.measures is not None
    assert (timeline.last.measures.lost, timeline.last.measures.lost_total) == (0, 40)


def test_a_topic_made_anew_is_losing_data() -> None:
    timeline = running()
    anew = lambda _, sample: dataclasses.replace(sample, end=10)  # noqa: E731 -- a topic made anew
    states = timeline.go(10, changes=anew)
    assert first_of(LOSING, states) <= WITHIN
    assert "the partition ends at 10: the topic was made anew" in timeline.last.says
    assert (timeline.last.state, timeline.last.cause) == (LOSING, Cause.BEYOND_THE_END)


def test_who_reads_before_a_transaction_is_settled_is_no_alarm() -> None:
    timeline = running()
    ahead = lambda _, sample: dataclasses.replace(sample, end=sample.end - 5)  # noqa: E731 -- the last stable offset
    for _ in range(20):
        timeline.go(2, came="10", changes=ahead)
        timeline.go(1, came="10")
    assert runs(verdict.state for verdict in timeline.verdicts) == [OK]


def test_what_is_about_to_be_deleted_is_told_before() -> None:
    timeline = running(retention_s=200.0)
    states = timeline.go(100, came="100", read="0", owner=".")
    assert runs(states) == [OK, STOPPED, LOSING]
    margin = next(verdict for verdict in timeline.verdicts if verdict.state is LOSING)
    assert margin.cause is Cause.ABOUT_TO_BE_DELETED
    assert margin.says.startswith("its first unread record is deleted in 18 s; no member has owned it for")


def test_unknown_when_nothing_is_seen_any_more() -> None:
    timeline = running()
    timeline.now_s += 8
    assert timeline.look().state is OK
    timeline.now_s += 8
    assert (timeline.look().state, timeline.last.confidence) == (State.UNKNOWN, 0.0)
    assert timeline.last.says == "nothing has been seen of it for 16 s"
    assert timeline.go(1, came="100") == [OK]


@pytest.mark.parametrize("away", [4, 8, 60])
def test_who_comes_back_with_the_broker_is_late_by_no_fault_of_his(away: int) -> None:
    timeline = running()
    timeline.go(1, came="100", read="0")
    timeline.away(away)
    states = timeline.go(10, came="100", read="0 0 0 +", owner=". ~ ~ b")
    assert set(states) <= {OK, State.UNKNOWN}
    assert states[-1] is OK


def test_who_does_not_come_back_with_the_broker_is_told_in_time() -> None:
    timeline = running()
    timeline.go(1, came="100", read="0")
    timeline.away(8)
    assert first_of(STOPPED, timeline.go(10, came="100", read="0", owner=".")) <= WITHIN
    other = running()
    other.go(1, came="100", read="0")
    other.away(8)
    assert first_of(STALLED, other.go(10, came="100", read="0", owner="b")) <= WITHIN
    slow = running()
    slow.go(1, came="100", read="0")
    slow.away(8)
    assert first_of(LATE, slow.go(10, came="100", read="0 5", owner="b")) <= WITHIN


def test_a_time_in_which_nothing_was_seen_hides_nothing_that_was_seen_before() -> None:
    stopped = running()
    stopped.go(60, came="100", read="0", owner=".")
    assert stopped.last.state is STOPPED
    stopped.away(3)
    assert runs(stopped.go(5, came="100", read="0", owner=".")) == [STOPPED]


def test_who_is_seen_only_now_and_then_is_told_all_the_same() -> None:
    def seen(times: int, *, away: int, steps: int, read: str) -> list[State]:
        timeline, states = running(), []
        for _ in range(times):
            timeline.away(away)
            states += timeline.go(steps, came="100", read=read, worker=ALIVE)
        return states

    stalled = seen(12, away=3, steps=1, read="0")
    assert STALLED in stalled
    assert stalled[-1] is STALLED
    assert LATE in seen(6, away=4, steps=7, read="30")


def test_unknown_while_nothing_was_seen() -> None:
    verdict = step(None, Window(), 5.0, away="Kafka at nowhere:1: not reached")
    assert (verdict.state, verdict.measures) == (State.UNKNOWN, None)
    assert verdict.says == "nothing has been seen of it yet: Kafka at nowhere:1: not reached"


def test_unknown_where_it_is_late_from_the_beginning_until_it_is_clear_where_it_goes() -> None:
    timeline = Timeline()
    timeline.end, timeline._came = 10_000, [(0, timeline.now_s - 600)]
    assert runs(timeline.go(12, came="10", read="100")) == [State.UNKNOWN, CATCHING_UP]


def test_never_committed_and_nobody_reads_it() -> None:
    timeline = Timeline()
    never = lambda _, sample: dataclasses.replace(sample, committed=None)  # noqa: E731 -- nothing was committed
    timeline.go(10, came="10", read="0", changes=never)
    assert timeline.last.state is STALLED
    assert "its beginning, never having committed" in timeline.last.says


def test_confidence_grows_with_what_was_seen() -> None:
    timeline = Timeline()
    timeline.go(30, came="100")
    sure = [verdict.confidence for verdict in timeline.verdicts]
    assert sure == sorted(sure)
    assert (sure[0], sure[-1]) == (0.4, 1.0)


# Whatever happens.

moments = st.tuples(
    st.integers(0, 50),  # records come
    st.integers(0, 60),  # are read
    st.integers(0, 30),  # deleted
    st.sampled_from("aab.~"),  # by whom it is read
    st.integers(-40, 0),  # it goes back
)


def drawn(timeline: Timeline, moment: tuple[int, int, int, str, int]) -> None:
    came, read, deleted, owner, back = moment
    timeline.first = min(timeline.end, timeline.first + max(0, deleted - 20))
    if back < -30:
        timeline.committed = max(0, timeline.committed + back)
    timeline.go(1, came=str(came), read=str(read), owner=owner)


@settings(max_examples=30, deadline=None)
@given(st.lists(moments, min_size=1, max_size=60))
def test_never_fine_while_records_are_lost_and_always_with_a_reason(many: list[tuple[int, int, int, str, int]]) -> None:
    timeline = Timeline()
    for moment in many:
        drawn(timeline, moment)
        verdict = timeline.last
        assert verdict.measures is not None
        if timeline.window.newest.lost:
            assert verdict.state is LOSING
        assert verdict.says
        assert "\n" not in verdict.says
        assert 0.0 <= verdict.confidence <= 1.0
        assert verdict.since_s <= timeline.now_s
        assert verdict.state.fine or verdict.cause is not Cause.NONE or verdict.state is CATCHING_UP


@settings(max_examples=30, deadline=None)
@given(st.lists(moments, min_size=1, max_size=40), st.integers(1, 1_000))
def test_a_loss_never_makes_it_look_better(many: list[tuple[int, int, int, str, int]], lost: int) -> None:
    timeline = Timeline()
    for moment in many:
        drawn(timeline, moment)
    newest = timeline.window.newest
    worse: Sample = dataclasses.replace(newest, at_s=newest.at_s + 2, first=newest.position + lost)
    same: Sample = dataclasses.replace(newest, at_s=newest.at_s + 2)
    after = []
    for sample in (same, worse):
        window = copy.deepcopy(timeline.window)
        window.add(sample)
        after.append(step(timeline.last, window, sample.at_s).state.severity)
    assert after[0] <= after[1]


@settings(max_examples=30, deadline=None)
@given(st.lists(moments, min_size=1, max_size=60))
def test_a_better_state_has_lasted_before_it_is_said(many: list[tuple[int, int, int, str, int]]) -> None:
    timeline = Timeline()
    for moment in many:
        drawn(timeline, moment)
    for before, after in pairwise(timeline.verdicts):
        better = after.state.severity < before.state.severity
        if better and not before.state.fine and State.UNKNOWN not in (before.state, after.state):
            assert before.turning_s is not None


def test_a_window_is_bounded() -> None:
    timeline = Timeline()
    timeline.go(300, came="3")
    assert len(timeline.window.samples) == 61
