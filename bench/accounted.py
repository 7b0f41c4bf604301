"""The aggregate with an account of what it costs to be watched: `python -m bench.accounted`.

The real application. Around each thing it does to be watched its thread's processor time is looked at, so that to look
counts as watching too. Into the file that the environment's ACCOUNT names goes twice a second, as JSON, what each thing
has taken, and the process.
"""

import asyncio
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from batching import telemetry
from pipelines.aggregate import app
from pipelines.alive import Pulse, Web
from pipelines.settings import AggregateSettings
from pipelines.watchdog import Watchdog
from pipelines.worker import AnyWorker, Taken, run

ACCOUNT = "BENCH_ACCOUNT"
EVERY_S = 0.5
BATCHES, HEARTBEATS, WATCHDOG, SCRAPES = "counting batches", "heartbeats and orders", "the watchdog", "/metrics"
WATCHING = (BATCHES, HEARTBEATS, WATCHDOG, SCRAPES)

spent_s: defaultdict[str, float] = defaultdict(float)
_clock = time.thread_time


class Account(NamedTuple):
    """Since the process began."""

    handled: int  # records, of all its topics
    process_s: float
    spent_s: dict[str, float]


def read(file: Path) -> Account:
    return Account(**json.loads(file.read_text()))


class Steps:
    """A coroutine, of which its steps count and not what it waits for."""

    def __init__(self, what: str, work: Coroutine[Any, Any, Any]) -> None:
        self._what = what
        self._work = work

    def __await__(self) -> Generator[Any, Any, Any]:
        failed: BaseException | None = None
        while True:
            began_s = _clock()
            try:
                waits = self._work.send(None) if failed is None else self._work.throw(failed)
            except StopIteration as ended:
                return ended.value
            finally:
                spent_s[self._what] += _clock() - began_s
            try:
                failed = yield waits
            except BaseException as error:  # what it waited for, or that it is cancelled: it is the work's own
                failed = error


def calls(what: str, of: object, name: str) -> None:
    """Accounts for each call of a function or method from now on."""
    method = getattr(of, name)

    @wraps(method)
    def called(*args: Any, **options: Any) -> Any:
        began_s = _clock()
        try:
            return method(*args, **options)
        finally:
            spent_s[what] += _clock() - began_s

    @wraps(method)
    async def awaited(*args: Any, **options: Any) -> Any:
        return await Steps(what, method(*args, **options))

    setattr(of, name, awaited if asyncio.iscoroutinefunction(method) else called)


def batches(worker: AnyWorker) -> None:
    """The same of `Worker.batch`, without what is done within."""
    batch = worker.batch

    @contextmanager
    def accounted(topic: str, records: int) -> Iterator[Taken]:
        began_s = _clock()
        with batch(topic, records) as taken:
            spent_s[BATCHES] += _clock() - began_s
            yield taken
            began_s = _clock()
        spent_s[BATCHES] += _clock() - began_s

    worker.batch = accounted  # type: ignore[method-assign]


def keep(file: Path, worker: AnyWorker) -> NoReturn:
    new = file.with_suffix(".new")
    while True:
        dogs = [thread.ident for thread in threading.enumerate() if thread.name == "watchdog" and thread.ident]
        awake_s = sum(time.clock_gettime(time.pthread_getcpuclockid(dog)) for dog in dogs)
        told = {**spent_s, WATCHDOG: spent_s[WATCHDOG] + awake_s}
        new.write_text(json.dumps(Account(worker.pulse._handled, time.process_time(), told)._asdict()))
        new.replace(file)
        time.sleep(EVERY_S)


def main() -> None:
    calls(BATCHES, telemetry, "acknowledged")
    calls(HEARTBEATS, Pulse, "heartbeat")
    calls(HEARTBEATS, Pulse, "_exchange")
    calls(WATCHDOG, Watchdog, "_turn")
    calls(SCRAPES, Web, "_metrics")
    worker = app.create(AggregateSettings())
    batches(worker)
    threading.Thread(target=keep, args=(Path(os.environ[ACCOUNT]), worker), daemon=True).start()
    run(worker)


if __name__ == "__main__":
    main()
