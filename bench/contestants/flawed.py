"""The real worker of `live`, with what may be wrong with any: `python -m bench.contestants.flawed`.

CLASSPULSE_BENCH_FLAW names a file. Nothing is wrong while it is not there. With the word `blocks` in it the event loop
stands still; with `dies SCOPE` the process ends, without a word to anybody, as soon as it meets a record of that scope.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from redis.exceptions import RedisError

from pipelines import sink, worker
from pipelines.live import app as live
from pipelines.live.writer import LiveWriter
from pipelines.settings import LiveSettings
from pipelines.sink import Store
from wire.metrics import ScopeUpdate

FLAW = "CLASSPULSE_BENCH_FLAW"
_TURN_S = 0.2


def flaw() -> str:
    try:
        return Path(os.environ[FLAW]).read_text()
    except OSError:
        return ""


class Writer(LiveWriter):
    async def write(self, updates: Sequence[ScopeUpdate]) -> int:
        what, _, scope = flaw().partition(" ")
        if what == "dies" and any(update.scope == scope for update in updates):
            os._exit(os.EX_SOFTWARE)
        return await super().write(updates)


def main() -> None:
    settings = LiveSettings()
    writer = Writer(settings.redis_url)
    store = Store("redis", writer.write, writer.close, (RedisError, OSError, TimeoutError), live.refuses)
    made = sink.create("live", settings, store)

    @made.app.timer(_TURN_S)  # type: ignore[untyped-decorator]
    async def stand() -> None:
        while flaw() == "blocks":
            time.sleep(_TURN_S)  # noqa: ASYNC251 -- that is the flaw

    worker.run(made)


if __name__ == "__main__":
    main()
