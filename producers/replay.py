"""Sends an export through the door, at any speed, and goes on where it was interrupted."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from producers import export
from producers.door import BATCH_EVENTS, Door, Event, Rejected

TICK_S = 0.2  # how often what has become due is sent when the speed is bound to a clock


class Progress(msgspec.Struct):
    """Lies in a file while a replay is unfinished."""

    sent: int = 0  # events the door has settled, from the first
    shift_s: float = 0.0  # so that a resumed replay shifts as it began


@dataclass
class Outcome:
    accepted: int = 0
    rejected: list[Rejected] = field(default_factory=list)


def progress_file(folder: Path, path: Path, url: str, *options: object) -> Path:
    """Named by what is sent, how and where to: another file, option or door begins anew, since a number of events sent
    says nothing of it."""
    digest = hashlib.sha256(path.read_bytes() + repr((url, *options)).encode()).hexdigest()[:16]
    return folder / f"{digest}.json"


def read_progress(path: Path) -> Progress | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_progress(path: Path, progress: Progress) -> None:
    """Whole or not at all: with the shift lost, what was sent would be sent again as something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.encode(progress))
    temporary.replace(path)


def shift_to_now(events: list[Event], now: datetime, speed: float | None) -> timedelta:
    """Whole seconds. In a replay bound to a clock the first event is now, else the last one is: none in the future."""
    if not events:
        return timedelta()
    happened = export.times(events)
    return timedelta(seconds=int((now - (min(happened) if speed else max(happened))).total_seconds()))


async def replay(
    door: Door,
    events: list[Event],
    progress: Progress,
    save: Callable[[Progress], None],
    speed: float | None,
    tell: Callable[[int], None],
) -> Outcome:
    """Sends `events` from `progress.sent` on. `speed`: seconds of event time a second; None: as fast as the door takes
    them. `save` and `tell` are called after each batch, `tell` with the number settled. Cancelling is safe: what is not
    settled is sent again when resumed, and counts once."""
    outcome = Outcome()
    due = _schedule(events[progress.sent :], speed)
    started = time.monotonic()
    while progress.sent < len(events):
        batch = events[progress.sent : progress.sent + BATCH_EVENTS]
        if due is not None:
            now_s = time.monotonic() - started
            settled = len(events) - progress.sent
            batch = [event for event, at_s in zip(batch, due[-settled:], strict=False) if at_s <= now_s]
            if not batch:
                await asyncio.sleep(TICK_S)
                continue
        answer = await door.post(batch)
        outcome.accepted += answer.accepted
        outcome.rejected += answer.rejected
        progress.sent += len(batch)
        save(progress)
        tell(len(batch))
    return outcome


def _schedule(events: list[Event], speed: float | None) -> list[float] | None:
    """When each event is due, in seconds from now; never before the one ahead of it."""
    if speed is None or not events:
        return None
    happened = export.times(events)
    first = happened[0]
    latest = 0.0
    due = []
    for at in happened:
        latest = max(latest, (at - first).total_seconds() / speed)
        due.append(latest)
    return due


def utc_now() -> datetime:
    return datetime.now(UTC)
