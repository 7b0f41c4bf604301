"""A replay: when each event is due, how it is shifted, and that an interrupted one goes on where it was."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from answering import AnsweringDoor, accepted, saying
from running import eventually

from producers import export, replay
from producers.door import BATCH_EVENTS, Door, DoorAwayError
from producers.replay import Progress

T0 = datetime(2021, 11, 29, 12, tzinfo=UTC)


def events(*at_s: float) -> list[dict[str, Any]]:
    return [
        {
            "event_id": f"00000000-0000-4000-8000-{number:012d}",
            "n": number,
            "occurred_at": (T0 + timedelta(seconds=s)).isoformat(),
        }
        for number, s in enumerate(at_s)
    ]


@pytest.fixture
async def door() -> AsyncIterator[AnsweringDoor]:
    made = AnsweringDoor()
    yield made
    await made.stop()


class Watched:
    """What a replay saved and told."""

    def __init__(self) -> None:
        self.saved: list[int] = []
        self.told: list[int] = []

    def save(self, progress: Progress) -> None:
        self.saved.append(progress.sent)


async def run(
    door: AnsweringDoor,
    what: list[dict[str, Any]],
    progress: Progress,
    speed: float | None = None,
    patience_s: float = 30,
) -> Watched:
    watched = Watched()
    async with Door(await door.start(), "key", patience_s) as client:
        outcome = await replay.replay(client, what, progress, watched.save, speed, watched.told.append)
    assert outcome.accepted + len(outcome.rejected) == sum(watched.told)
    return watched


async def test_as_fast_as_it_goes_everything_is_sent_in_order(door: AnsweringDoor) -> None:
    what = events(*range(1_234))
    watched = await run(door, what, Progress())
    assert [event["n"] for event in door.sent] == list(range(1_234))
    assert watched.saved == list(itertools.accumulate(watched.told)) == [500, 1_000, 1_234]


async def test_bound_to_a_clock_nothing_is_sent_before_it_is_due(door: AnsweringDoor) -> None:
    #   event time   0 s      60 s     120 s    (unsorted: 30 s, behind 120 s)    at 60 times the speed
    #   sent at      0 s      1 s      2 s      2 s
    sent_at: list[float] = []
    began = time.monotonic()

    def answer(batch: list[dict[str, Any]]) -> web.Response:
        sent_at.extend([time.monotonic() - began] * len(batch))
        return accepted(batch)

    door._answers = [answer] * 10
    await run(door, events(0, 60, 120, 30), Progress(), speed=60)
    assert [event["n"] for event in door.sent] == [0, 1, 2, 3]
    assert all(at >= due for at, due in zip(sent_at, [0, 1, 2, 2], strict=True))
    assert len(door.batches) == 3


async def test_a_resumed_replay_sends_the_rest_and_nothing_twice(door: AnsweringDoor) -> None:
    what = events(*range(3 * BATCH_EVENTS))
    door._answers = [accepted, *[saying(503)] * 20]
    progress = Progress()
    with pytest.raises(DoorAwayError):
        await run(door, what, progress, patience_s=0.3)
    assert progress.sent == BATCH_EVENTS
    await door.stop()

    door._answers.clear()
    door.batches.clear()
    await run(door, what, progress)
    assert [event["n"] for event in door.sent] == list(range(BATCH_EVENTS, 3 * BATCH_EVENTS))


async def test_a_resumed_replay_bound_to_a_clock_begins_its_clock_with_the_next_event(door: AnsweringDoor) -> None:
    await asyncio.wait_for(run(door, events(0, 86_400, 86_400.1), Progress(sent=1), speed=1), 20)
    assert [event["n"] for event in door.sent] == [1, 2]


async def test_cancelled_in_the_middle_of_a_batch_it_has_not_counted_it(door: AnsweringDoor) -> None:
    door._answers = [saying(503, Retry_After="60")]
    progress = Progress()
    running = asyncio.create_task(run(door, events(1, 2, 3), progress))

    async def asked() -> bool:
        return bool(door.batches)

    await eventually(asked, 20, "a batch is under way")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert progress.sent == 0


async def test_rejected_events_are_settled_and_told(door: AnsweringDoor) -> None:
    door._answers = [lambda batch: accepted(batch, rejected={1: ("occurred_at", "in the future")})]
    async with Door(await door.start(), "key") as client:
        progress = Progress()
        outcome = await replay.replay(client, events(1, 2, 3), progress, lambda _: None, None, lambda _: None)
    assert (outcome.accepted, progress.sent) == (2, 3)
    assert [(one.event["n"], one.field, one.reason) for one in outcome.rejected] == [
        (1, "occurred_at", "in the future")
    ]


async def test_nothing_to_send_is_done_at_once(door: AnsweringDoor) -> None:
    assert (await run(door, [], Progress(), speed=1)).saved == []


NOW = datetime(2026, 1, 15, 9, 30, 0, 700_000, tzinfo=UTC)


@pytest.mark.parametrize("at_s", [(0, 60, 3_600), (3_600, 0, 60)])
def test_shifted_to_now_the_last_event_is_now_and_none_lies_ahead(at_s: tuple[float, ...]) -> None:
    what = events(*at_s)
    moved = export.times(export.shifted(what, replay.shift_to_now(what, NOW, None)))
    assert timedelta() <= NOW - max(moved) < timedelta(seconds=1)


def test_shifted_to_now_and_bound_to_a_clock_the_first_event_is_now() -> None:
    what = events(60, 0, 3_600)
    moved = export.times(export.shifted(what, replay.shift_to_now(what, NOW, 2.0)))
    assert timedelta() <= NOW - min(moved) < timedelta(seconds=1)


def test_nothing_is_shifted_by_nothing() -> None:
    assert replay.shift_to_now([], NOW, None) == timedelta()


def test_progress_survives_in_its_file_and_a_damaged_one_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "progress.json"
    assert replay.read_progress(file) is None
    replay.write_progress(file, Progress(sent=7, shift_s=3.5))
    assert replay.read_progress(file) == Progress(sent=7, shift_s=3.5)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    for damaged in (b"", b"{", b"[]", b'{"sent": "many"}'):
        file.write_bytes(damaged)
        assert replay.read_progress(file) is None


def test_another_file_another_door_or_another_order_has_a_progress_of_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    names = [
        replay.progress_file(tmp_path, file, url, *options)
        for file in (one, other)
        for url in ("http://a", "http://b")
        for options in ((False, "c"), (True, "c"), (False, "d"))
    ]
    assert len(set(names)) == len(names)
    one_again = tmp_path / "moved"
    one_again.write_bytes(b"1")
    assert replay.progress_file(tmp_path, one_again, "http://a", False, "c") == names[0]
