"""What differs from what is served, what cannot be said to, and what is written to mend it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_process import point

from pipelines.history.store import Served
from pipelines.rebuild.difference import MERGE, Limits, Pair, Rebuilt, Verdict, corrected, is_compared, pairs
from wire.metrics import Metric, State

AT_MS = point(0).start_ms
SEEN_MS = AT_MS + 86_400_000
LIMITS = Limits(from_ms=0, seen_ms={0: SEEN_MS, MERGE: SEEN_MS}, grace_ms=120_000, closed_ms=SEEN_MS)


def rebuilt(value: float, metric: Metric = Metric.EVENTS_PER_MINUTE, minute: int = 0, **fields: Any) -> Rebuilt:
    final = point(value, minute, metric, state=State.FINAL, watermark_ms=7)
    return Rebuilt.of("school:all", final, MERGE)._replace(**fields)


def served(value: float, metric: Metric = Metric.EVENTS_PER_MINUTE, minute: int = 0, **fields: Any) -> Served:
    one = point(value, minute, metric)
    return Served("school:all", metric, "", one.start_ms, value, one.n, one.as_of_ms)._replace(**fields)


def verdict(ours: Rebuilt | None, theirs: Served | None, limits: Limits = LIMITS) -> Verdict:
    (pair,) = pairs([ours] if ours else [], [theirs] if theirs else [], limits)
    return pair.verdict


def test_value_and_n_are_compared() -> None:
    assert verdict(rebuilt(3), served(3)) is Verdict.SAME
    assert verdict(rebuilt(3), served(4)) is Verdict.DIFFERS
    assert verdict(rebuilt(3), served(3, n=4)) is Verdict.DIFFERS
    assert verdict(rebuilt(3), None) is Verdict.MISSING
    assert verdict(None, served(3)) is Verdict.EXTRA
    assert verdict(rebuilt(3), served(3, as_of_ms=1)) is Verdict.SAME


def test_a_window_that_nothing_happened_in_may_be_there_as_0() -> None:
    assert verdict(None, served(0)) is Verdict.SAME
    assert verdict(rebuilt(3), served(0)) is Verdict.DIFFERS
    assert verdict(None, served(0, Metric.EVENTS_PER_DAY)) is Verdict.EXTRA
    assert [is_compared(point(0, metric=metric)) for metric in (Metric.ACTIVE_STUDENTS, Metric.EVENTS_PER_DAY)] == [
        False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("metric", [Metric.PRESENT_STUDENTS, Metric.LONGEST_WAIT_S, Metric.HELP_REQUESTS_OPEN])
def test_how_things_stood_is_not_compared(metric: Metric) -> None:
    assert not is_compared(point(3, metric=metric))


def test_a_window_that_may_be_told_anew_is_left_out() -> None:
    assert verdict(rebuilt(3, open=True), None) is Verdict.OPEN
    late = LIMITS._replace(closed_ms=AT_MS + 59_999)
    assert verdict(None, served(3), late) is Verdict.OPEN
    assert verdict(None, served(3), late._replace(closed_ms=AT_MS + 60_000)) is Verdict.EXTRA


def test_so_is_one_that_slides_and_ends_behind_the_newest_event_of_who_tells_it() -> None:
    #   window          [0:00 1:00)
    #   newest event             2:59     3:00, grace 2:00
    before, then = AT_MS + 179_999, AT_MS + 180_000
    for seen_ms, said in ((before, Verdict.OPEN), (then, Verdict.DIFFERS)):
        of_partition = LIMITS._replace(seen_ms={0: seen_ms, MERGE: SEEN_MS})
        assert verdict(rebuilt(3, teller=0), served(4), of_partition) is said
        assert verdict(rebuilt(3), served(4), of_partition) is Verdict.DIFFERS
    nothing = LIMITS._replace(seen_ms={0: SEEN_MS, MERGE: before})
    assert verdict(None, served(3), nothing) is Verdict.OPEN
    hour = rebuilt(3, Metric.EVENTS_PER_HOUR), served(4, Metric.EVENTS_PER_HOUR)
    assert verdict(*hour, nothing) is Verdict.DIFFERS


def test_what_events_of_meanwhile_may_have_changed_is_not_held_against_the_store() -> None:
    def since(ms: int) -> Limits:
        return LIMITS._replace(changing_from_ms=ms)

    end_ms = AT_MS + 60_000
    for ours, theirs in ((rebuilt(3), served(4)), (rebuilt(3), None), (None, served(4))):
        assert verdict(ours, theirs, since(end_ms - 1)) is Verdict.CHANGING
        assert verdict(ours, theirs, since(end_ms)) is not Verdict.CHANGING
    assert verdict(rebuilt(3), served(3), since(0)) is Verdict.SAME
    # A session that goes on past midnight is of the day before.
    day = rebuilt(3, Metric.SESSIONS), served(4, Metric.SESSIONS)
    midnight_ms = day[0].start_ms + 86_400_000
    assert verdict(*day, since(midnight_ms + 86_399_999)) is Verdict.CHANGING
    assert verdict(*day, since(midnight_ms + 86_400_000)) is Verdict.DIFFERS
    assert verdict(rebuilt(3, Metric.EVENTS_PER_DAY), None, since(midnight_ms)) is Verdict.MISSING


_keys = st.tuples(st.sampled_from(["course:a", "course:é", "course:𝄞"]), st.integers(0, 3), st.integers(0, 2))


@given(st.dictionaries(_keys, st.integers(1, 2)), st.dictionaries(_keys, st.integers(1, 2)))
def test_every_window_of_either_side_comes_once(
    ours: dict[tuple[str, int, int], int], theirs: dict[tuple[str, int, int], int]
) -> None:
    def key(of: tuple[str, int, int]) -> tuple[str, str, str, int]:
        return of[0], Metric.EVENTS_BY_KIND.value, str(of[1]), AT_MS - 86_400_000 + of[2]

    left = [Rebuilt(*key(of), value, 1, 0, False, MERGE) for of, value in sorted(ours.items())]
    right = [Served(*key(of), value, 1) for of, value in sorted(theirs.items())]
    found = {pair.key: pair.verdict for pair in pairs(left, right, LIMITS)}
    assert found == {
        key(of): Verdict.EXTRA if of not in ours else Verdict.MISSING if of not in theirs
        else Verdict.SAME if ours[of] == theirs[of] else Verdict.DIFFERS
        for of in {**ours, **theirs}
    }  # fmt: skip


def test_what_is_written_is_corrected_and_neither_older_than_what_is_held_nor_newer_than_what_was_read() -> None:
    ours = rebuilt(3)
    wanted = point(3, state=State.CORRECTED, watermark_ms=7, as_of_ms=SEEN_MS)
    assert corrected(Pair(Verdict.MISSING, ours, None), LIMITS.seen_ms) == ("school:all", wanted)
    assert corrected(Pair(Verdict.DIFFERS, ours, served(4)), LIMITS.seen_ms) == ("school:all", wanted)
    held = served(4, as_of_ms=SEEN_MS + 5)
    newer = msgspec.structs.replace(wanted, as_of_ms=SEEN_MS + 5)
    assert corrected(Pair(Verdict.DIFFERS, ours, held), LIMITS.seen_ms) == ("school:all", newer)


def test_of_an_extra_window_what_is_written_says_that_nothing_happened_where_a_value_can() -> None:
    zero = point(0, n=0, state=State.CORRECTED)
    assert corrected(Pair(Verdict.EXTRA, None, served(4)), LIMITS.seen_ms) == ("school:all", zero)
    for metric in (Metric.ERROR_RATE, Metric.EVENTS_BY_KIND):
        assert corrected(Pair(Verdict.EXTRA, None, served(4, metric)), LIMITS.seen_ms) is None
