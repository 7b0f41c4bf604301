"""In which records an event id is found, whatever else they hold."""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from letters import an_event

from gateway.admin.sightings import SIGHTINGS_MAX, Sighting, Sightings
from wire import events

UUID = "5d3c3f0e-6f0b-4a52-8d3e-0a6d5f1c2b3a"
IDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: not text.endswith("\\")
)


class Lying(NamedTuple):
    """A record as a consumer has it."""

    value: bytes | None
    key: bytes | None = b"s1"
    offset: int = 7
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 3
    timestamp: int = 1_000


def found(event_id: str, value: bytes | None, student: str | None = None, **given: Any) -> Sighting | None:
    sightings = Sightings(event_id, student)
    sightings.look_at(Lying(value, **given))
    return next(iter(sightings.kept), None)


@given(event_id=IDS, other=IDS)
def test_an_event_is_found_by_its_own_id_alone_however_json_spells_it(event_id: str, other: str) -> None:
    event = an_event(event_id=event_id, task_id=other)
    for value in (events.encode(event), json.dumps(json.loads(events.encode(event))).encode()):
        sighting = found(event_id, value)
        assert sighting is not None
        assert sighting.event == event
        assert (found(other, value) is not None) == (other == event_id)


def test_an_id_is_found_as_the_door_writes_it() -> None:
    value = events.encode(an_event(event_id=UUID))
    for spelt in (UUID.upper(), UUID.replace("-", ""), f"urn:uuid:{UUID}"):
        assert found(spelt, value) is not None
    assert found(UUID, events.encode(an_event(event_id=UUID.upper()))) is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b'{"event_id": "e1", "kind": "code_run"}', "missing required field"),
        (b'{"kind": "dance", "event_id": "\\u00651"}', "Invalid enum value"),
        (b'[{"event_id": "e1"}]', "Expected `object`"),
        (b'{"event_id": "e1", "kind": ', "truncated"),
        (b"event_id=e1&kind=dance", "malformed"),
        (b"\xff\x00 e1", "malformed"),
        (b'{"a":' + b"[" * 5_000 + b'"e1"', ""),
        (b'{"event_id": "e12"}', None),
        (b'{"event_id": "e2", "after": "e1"}', None),
        (b"e12 e-1 me1 e1-x", None),
        (b"", None),
        (None, None),
    ],
)
def test_what_is_no_event_may_have_the_id_too(value: bytes | None, problem: str | None) -> None:
    sighting = found("e1", value)
    if problem is None:
        assert sighting is None
    else:
        assert sighting is not None
        assert (sighting.event, sighting.value, problem in sighting.problem) == (None, value, True)


def test_of_a_student_only_what_has_his_key() -> None:
    value = events.encode(an_event(event_id="e1"))
    assert found("e1", value, student="s1", key=b"s1") is not None
    assert found("e1", value, student="s1", key=b"s2") is None
    assert found("e1", value, student="s1", key=None) is None


def test_they_come_in_the_order_they_were_written_and_are_not_too_many() -> None:
    value = events.encode(an_event(event_id="e1"))
    sightings = Sightings("e1")
    for offset in range(SIGHTINGS_MAX + 3):
        sightings.look_at(Lying(value, offset=offset, timestamp=-offset, headers=(("replayed-from", b"x-1-2\xff"),)))
    assert (len(sightings.kept), sightings.more) == (SIGHTINGS_MAX, 3)
    assert [one.offset for one in sightings.in_order()] == list(reversed(range(SIGHTINGS_MAX)))
    assert sightings.kept[0].origin == "x-1-2\\xff"
