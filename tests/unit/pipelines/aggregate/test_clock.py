"""Told time and the watermark: which source holds it back, what the wall clock adds, and that nothing goes back."""

import copy
import random

from hypothesis import given
from hypothesis import strategies as st

from pipelines.aggregate.clock import IDLE_MS, Clock, Kept, Source, Timekeeper

T = 1_638_187_200_000  # 2021-11-29T12:00:00Z
GRACE_MS = 120_000


def at(s: float) -> int:
    return T + int(s * 1000)


def timekeeper(*sources: int) -> Timekeeper:
    return Timekeeper(sources, GRACE_MS)


def commit(time: Timekeeper, wall_s: float = 0) -> Kept | None:
    kept = time.promise(int(wall_s * 1000), time.clock)
    time.advance()
    return kept


def test_the_watermark_is_the_least_event_time_of_the_sources_that_are_not_idle() -> None:
    #   source 0    |0       |10                |300
    #   source 1    |   (not heard of)  |5               |idle at 5   |back, at 200
    #   watermark    0        0          5       5        300          300
    time = timekeeper(0, 1)
    time.progress(0, 1, at(0), False, 0)
    assert time.clock.watermark_ms == 0
    time.progress(0, 2, at(10), False, 0)
    assert time.clock.watermark_ms == 0, "who has not been heard of may say anything"
    time.progress(1, 1, at(5), False, 0)
    assert time.clock.watermark_ms == at(5)
    time.progress(0, 3, at(300), False, 0)
    assert time.clock.watermark_ms == at(5)
    time.progress(1, 1, at(5), True, 0)
    assert time.clock.watermark_ms == at(300)
    time.progress(1, 2, at(200), False, 0)
    assert time.clock.watermark_ms == at(300)
    time.progress(1, 3, at(310), False, 0)
    time.progress(0, 4, at(320), False, 0)
    assert time.clock.watermark_ms == at(310), "it waits for the one that came back"


def test_a_part_of_what_a_source_says_moves_told_time_and_the_whole_the_watermark() -> None:
    time = timekeeper(0)
    time.heard(0, 5, at(60), 0)
    assert (time.clock.now_ms, time.clock.watermark_ms) == (at(60), 0)
    time.progress(0, 5, at(60), False, 0)
    assert (time.clock.now_ms, time.clock.watermark_ms) == (at(60), at(60))


def test_a_part_of_what_an_idle_source_says_wakes_it() -> None:
    time = timekeeper(0, 1)
    time.progress(0, 5, at(0), False, 0)
    time.progress(1, 5, at(0), True, 0)
    time.heard(1, 6, at(2), 0)
    time.progress(0, 6, at(100), False, 0)
    assert time.clock.watermark_ms == at(0)
    time.progress(1, 5, at(0), True, 0)  # of before that
    assert time.clock.watermark_ms == at(0)
    time.progress(1, 6, at(2), False, 0)
    assert time.clock.watermark_ms == at(2)


def test_closed_is_the_watermark_less_grace_in_whole_panes_when_it_is_committed() -> None:
    time = timekeeper(0)
    time.progress(0, 1, at(135), False, 0)
    assert time.clock.closed_ms == 0
    time.promise(0, time.clock)
    assert time.clock.closed_ms == 0, "written, and perhaps not committed"
    assert time.advance()
    assert time.clock.closed_ms == at(10)
    time.progress(0, 2, at(149), False, 0)
    assert not time.advance(), "nothing has been promised since"
    assert time.clock.closed_ms == at(10)


def test_in_a_quiet_room_the_wall_clock_carries_told_time_on_and_where_all_are_idle_the_watermark() -> None:
    #   event time      0
    #   wall, s         0      4      9            200            all idle: 210
    #   told time       0      0      0            200            210
    #   closed                                                    90 = 210 - 120
    time = timekeeper(0)
    time.progress(0, 1, at(0), False, 0)
    for wall_s, told_s in ((0, 0), (4, 0), (9, 0), (200, 200)):
        commit(time, wall_s)
        assert time.clock == Clock(at(told_s), at(0), at(-120)), wall_s
    time.progress(0, 1, at(0), True, 205_000)
    commit(time, 210)
    assert time.clock == Clock(at(210), at(210), at(90))


def test_an_event_behind_what_the_wall_clock_made_of_time_does_not_turn_it_back() -> None:
    time = timekeeper(0)
    time.progress(0, 1, at(5), False, 0)
    commit(time, 55)
    assert time.clock.now_ms == at(60)
    time.progress(0, 2, at(57), False, 55_500)
    assert time.clock.now_ms == at(60)
    commit(time, 56)
    assert time.clock.now_ms == at(60)


def test_before_the_first_event_time_stands_still() -> None:
    time = timekeeper(0)
    time.progress(0, -1, 0, True, 0)
    assert commit(time, 1_000_000) == Kept(sources={0: Source(-1, 0, True)})
    assert time.clock == Clock(0, 0, 0)


def test_in_a_quiet_room_something_is_written_only_when_a_pane_is_over() -> None:
    time = timekeeper(0)
    time.progress(0, 1, at(0), True, 0)
    written = [wall_s for wall_s in range(60) if commit(time, wall_s) is not None]
    assert written == [0, 1, *(wall_s + later for wall_s in range(10, 60, 10) for later in (0, 1))], (
        "and once more, that it has been told"
    )


def test_restored_it_goes_on_from_what_was_told() -> None:
    time = timekeeper(0)
    time.progress(0, 1, at(0), True, 0)
    kept = commit(time, 200)
    assert kept is not None
    again = Timekeeper.restore([0], GRACE_MS, kept, 10_000_000)
    assert again.clock == time.clock
    commit(again, 10_000 + 9)
    assert again.clock.now_ms == at(200)
    commit(again, 10_000 + 10)
    assert again.clock.now_ms == at(210), "the time between the lives has not passed"


Said = tuple[int, int, int, bool]  # source, offset, event time, idle


@given(seed=st.integers(0, 100_000), steps=st.lists(st.sampled_from([0, 900, IDLE_MS + 1, 40_000]), max_size=40))
def test_nothing_goes_back_over_idle_sources_quiet_times_and_kills(seed: int, steps: list[int]) -> None:
    rng = random.Random(seed)
    log: list[Said] = []
    newest: dict[int, Said] = {0: (0, -1, 0, False), 1: (1, -1, 0, False)}
    time, committed, position = timekeeper(0, 1), Kept(), 0
    told = Clock(0, 0, 0)
    wall_ms = 0
    for step in steps:
        wall_ms += step
        for _ in range(rng.randrange(3)):
            source, offset, event_ms, _ = newest[rng.randrange(2)]
            moves = rng.random() < 0.6
            event_ms = max(event_ms, at(rng.randrange(600))) if moves else event_ms
            newest[source] = (source, offset + moves, event_ms, not moves and rng.random() < 0.5)
            log.append(newest[source])
            time.progress(*newest[source], wall_ms)
        clock = time.clock
        assert all(now >= before for now, before in zip(clock, told, strict=True))
        assert clock.closed_ms + GRACE_MS <= max(clock.watermark_ms, GRACE_MS)
        assert clock.watermark_ms <= clock.now_ms
        told = clock
        match rng.choice(["", "commit", "kill", "kill within"]):
            case "commit":
                committed = copy.deepcopy(time.promise(wall_ms, told)) or committed
                position = len(log)
                time.advance()
            case "kill" | "kill within" as when:
                if when == "kill within":  # promised, and not committed
                    time.promise(wall_ms, told)
                time = Timekeeper.restore([0, 1], GRACE_MS, committed, wall_ms)
                for said in log[position:]:
                    time.progress(*said, wall_ms)
