"""The aggregate with nobody watching, to be measured beside the real one: `python -m bench.unwatched`.

The real application without heartbeats, watchdog and HTTP port, and without what is counted and timed of each batch.
What its agents count beside that stays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import faust

from pipelines.aggregate import app
from pipelines.settings import AggregateSettings
from pipelines.worker import AnyWorker, Taken, options


@contextmanager
def batch(_topic: str, records: int) -> Iterator[Taken]:
    yield Taken(records)


def run(made: AnyWorker) -> NoReturn:
    made.batch = batch  # type: ignore[method-assign,assignment]
    worker = faust.Worker(
        made.app,
        loglevel=made.settings.log_level,
        quiet=True,
        redirect_stdouts=False,
        logging_config=options(made.settings)["logging_config"],
    )
    worker.execute_from_commandline()
    raise SystemExit


if __name__ == "__main__":
    run(app.create(AggregateSettings()))
