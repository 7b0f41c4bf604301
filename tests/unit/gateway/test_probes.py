import asyncio
import time

import structlog

from gateway import probes
from gateway.probes import Probe


async def test_what_the_server_says_is_told() -> None:
    async def ask() -> str:
        return "version 3"

    finding = await Probe("some", ask).finding()
    assert (finding.up, finding.detail) == (True, "version 3")
    assert finding.latency_ms >= 0


async def test_whatever_is_raised_means_down_with_its_reason() -> None:
    errors = [OSError("refused"), KeyError()]

    async def ask() -> str:
        raise errors.pop(0)

    probe = Probe("some", ask, fresh_s=0)
    assert (await probe.finding()).detail == "refused"
    assert (await probe.finding()).detail == "KeyError"


async def test_a_server_that_does_not_answer_is_asked_once_and_holds_up_nobody() -> None:
    asked = 0
    answer = asyncio.Event()

    async def ask() -> str:
        nonlocal asked
        asked += 1
        await answer.wait()
        return "at last"

    probe = Probe("some", ask, fresh_s=0)
    findings = await asyncio.gather(*(probe.finding() for _ in range(20)))
    assert {(finding.up, finding.detail) for finding in findings} == {
        (False, f"no answer within {probes.DEADLINE_S:g} s")
    }
    answer.set()
    assert (await probe.settled()).detail == "at last"
    assert asked == 1
    await probe.finding()
    assert asked == 2


async def test_what_was_found_last_is_told_meanwhile_with_when_it_was() -> None:
    hangs, now = asyncio.Event(), 1_000.0

    async def ask() -> str:
        if now > 1_000:
            await hangs.wait()
        return "fine"

    probe = Probe("some", ask, fresh_s=0, clock=lambda: now)
    assert (await probe.finding()).up
    now = 1_060.0
    began_s = time.monotonic()
    told = await probe.finding()
    assert (told.up, told.asked_at) == (True, 1_000.0)
    assert time.monotonic() - began_s < probes.DEADLINE_S  # it waits for less
    down = await probe.settled()
    assert (down.up, down.since, down.last_error) == (False, 1_060.0, f"no answer within {probes.DEADLINE_S:g} s")
    now = 1_090.0
    assert (await probe.settled()).since == 1_060.0
    hangs.set()
    up = await probe.settled()
    assert (up.up, up.since) == (True, 1_090.0)
    assert (up.last_error, up.last_error_at) == (down.last_error, 1_090.0)
    assert probe.was_up


async def test_what_is_fresh_is_not_asked_again() -> None:
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        return "fine"

    probe = Probe("some", ask, fresh_s=3_600)
    for _ in range(5):
        assert (await probe.finding()).up
    assert asked == 1
    await probe.settled()
    assert asked == 2


async def test_a_question_that_defies_its_cancelling_holds_up_nobody() -> None:
    released = asyncio.Event()

    async def ask() -> str:
        try:
            await asyncio.sleep(3600)
        finally:
            await released.wait()
        return ""

    probe = Probe("some", ask, fresh_s=0)
    assert not (await probe.finding()).up
    probe.stop()
    assert not (await probe.finding()).up
    released.set()


async def test_the_log_hears_of_each_change_once() -> None:
    up = True

    async def ask() -> str:
        if not up:
            raise OSError("refused")
        return "fine"

    probe = Probe("kafka", ask, fresh_s=0)
    with structlog.testing.capture_logs() as lines:
        for up in (True, False, False, True, True):  # noqa: B007 -- `ask` reads it
            await probe.finding()
    assert [(line["event"], line["server"], line["detail"]) for line in lines] == [
        ("is away", "kafka", "refused"),
        ("is back", "kafka", "fine"),
    ]
