"""The events that benchmarks write."""

from itertools import pairwise

import msgspec

from bench import events
from wire.events import decode

NUMBER = 2_000


def test_the_same_seed_gives_the_same_events_of_200_bytes_in_order_of_time() -> None:
    first = list(events.plain(NUMBER, 50))
    assert first == list(events.plain(NUMBER, 50))
    assert all(195 <= len(event.value) <= 210 for event in first)
    assert all(earlier.at_ms <= later.at_ms for earlier, later in pairwise(first))
    assert {msgspec.json.decode(event.value)["student_id"].encode() for event in first} == {e.key for e in first}
    assert len({event.key for event in first}) == 50


def test_real_events_are_what_the_gateway_writes_and_count_once() -> None:
    written = [*events.real(NUMBER, 50, 1_000_000, 60, run="a"), *events.real(NUMBER, 50, 1_000_000, 60, run="b")]
    read = [decode(event.value) for event in written]
    assert len({event.event_id for event in read}) == 2 * NUMBER
    assert {event.student_id.encode() for event in read} == {event.key for event in written}
    courses: dict[str, set[str]] = {event.student_id: set() for event in read}
    for event in read:
        courses[event.student_id].add(event.course_id)
    assert all(len(of) == 1 for of in courses.values())


def test_all_of_gives_every_student_the_same_number() -> None:
    keys = [event.key for event in events.all_of(7, 3, 0, 60, run="load")]
    assert sorted(keys) == sorted(3 * [b"load-%07d" % student for student in range(7)])
