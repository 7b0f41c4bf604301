"""An id is known for ten minutes, and its memory has a bound."""

from gateway.ingest.recent import KEPT_S, Recent


def test_an_id_is_known_for_its_student_alone() -> None:
    recent = Recent()
    recent.roll(0)
    recent.add("e1", "s1")
    assert recent.knows("e1", "s1")
    assert not recent.knows("e1", "s2")
    assert not recent.knows("e2", "s1")


def test_an_id_is_known_at_least_as_long_as_promised_and_at_most_twice() -> None:
    recent = Recent()
    recent.roll(0)
    recent.add("first", "s")
    recent.roll(KEPT_S - 1)
    recent.add("last", "s")
    recent.roll(KEPT_S)  # ── first, last ──┃ ──────────────┃
    assert recent.knows("first", "s")
    recent.roll(2 * KEPT_S - 1)
    assert recent.knows("last", "s")
    recent.roll(2 * KEPT_S)
    assert not recent.knows("first", "s")
    assert not recent.knows("last", "s")


def test_after_a_quiet_time_nothing_is_known() -> None:
    recent = Recent()
    recent.roll(0)
    recent.add("e", "s")
    recent.roll(3 * KEPT_S)
    assert not recent.knows("e", "s")


def test_more_ids_than_there_is_room_for_push_the_oldest_out() -> None:
    recent = Recent(generation_max=100)
    recent.roll(0)
    for number in range(1_000):
        recent.roll(number / 1_000)
        recent.add(f"e{number}", "s")
    known = [number for number in range(1_000) if recent.knows(f"e{number}", "s")]
    assert known == list(range(min(known), 1_000))
    assert 100 <= len(known) <= 202
