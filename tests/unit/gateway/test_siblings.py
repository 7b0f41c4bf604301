"""Which gateways are silent, which have ended, and that Redis is asked for heartbeats once however many want them."""

import asyncio

import pytest

from gateway.probes import Probe
from gateway.siblings import FORGOTTEN_S, SILENT_S, Silent, judge
from gateway.workers import Seen
from wire import gateways
from wire.gateways import Sibling

ME = Sibling("me", "here", 1)
LATE = SILENT_S + 1


@pytest.mark.parametrize(
    ("who", "age_s", "thought"),
    [
        (ME, LATE, "fine"),  # this one was frozen itself
        (Sibling("a", "here", 2), 1.0, "fine"),
        (Sibling("a", "here", 2), LATE, "silent"),
        (Sibling("a", "here", 2), FORGOTTEN_S, "silent"),  # it is still there
        (Sibling("a", "here", 99), 1.0, "ended"),  # killed
        (Sibling("a", "here", 99), LATE, "ended"),
        (Sibling("a", "here", 1), 1.0, "ended"),  # before this one, in a container that was started anew
        (Sibling("a", "there", 99), 1.0, "fine"),
        (Sibling("a", "there", 99), LATE, "silent"),
        (Sibling("a", "there", 99), FORGOTTEN_S, "ended"),
    ],
)
def test_what_is_thought_of_a_gateway(who: Sibling, age_s: float, thought: str) -> None:
    found = judge({who: age_s}, ME, lambda pid: pid < 10)
    assert list(found.silent) == ([Silent(who, age_s)] if thought == "silent" else [])
    assert list(found.ended) == ([who] if thought == "ended" else [])


def test_a_heartbeat_comes_through_as_it_was() -> None:
    assert gateways.decode(gateways.encode(ME)) == ME


class Counted(Seen):
    def __init__(self) -> None:
        self.beats = []
        self.asked = 0
        self.away = ""

    async def ask(self) -> str:
        self.asked += 1
        if self.away:
            raise OSError(self.away)
        return "none"


async def test_redis_is_asked_once_however_many_want_to_know() -> None:
    seen = Counted()
    probe = Probe("workers", seen.ask, fresh_s=60)
    assert await asyncio.gather(*(seen.by(probe) for _ in range(5))) == [[]] * 5
    assert await seen.by(probe) == []
    assert seen.asked == 1


async def test_who_wants_to_know_is_told_why_not() -> None:
    seen = Counted()
    seen.away = "no answer"
    with pytest.raises(OSError, match="no answer"):
        await seen.by(Probe("workers", seen.ask))
