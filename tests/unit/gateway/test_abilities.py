"""What goes on without what."""

import pytest

from gateway import abilities
from gateway.abilities import ABILITIES, AGGREGATE, HISTORIAN, HISTORY, KAFKA, LIVE, POSTGRESQL, REDIS, standings


def idle(*missing: str) -> set[str]:
    return {one.what for one in standings(dict.fromkeys(missing, "is away")) if not one.works}


def test_with_all_there_all_works() -> None:
    assert idle() == set()


@pytest.mark.parametrize("server", [POSTGRESQL, REDIS, HISTORY, AGGREGATE, LIVE, HISTORIAN])
def test_only_kafka_is_needed_to_take_events_in(server: str) -> None:
    assert "events are accepted" not in idle(server)
    assert "events are accepted" in idle(KAFKA)


def test_live_goes_on_without_the_history_and_the_history_without_redis() -> None:
    assert "live values move" not in idle(HISTORY, HISTORIAN, POSTGRESQL)
    assert not {"history is written", "history is shown"} & idle(REDIS, LIVE)


def test_what_is_missing_is_named_with_what_becomes_of_it() -> None:
    (live,) = [one for one in standings({REDIS: "refused", LIVE: "none is ready"}) if one.what == "live values move"]
    assert live.because == ["redis: refused", "worker live: none is ready"]
    assert live.meanwhile


def test_every_name_is_one_that_something_can_be_missing_by() -> None:
    known = {getattr(abilities, name) for name in dir(abilities) if name.isupper() and name != "ABILITIES"}
    assert {name for ability in ABILITIES for name in ability.needs} == known
