"""Writing what was computed over what is served."""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from pipelines.history.store import HistoryStore, Row, StoreUnavailableError
from pipelines.rebuild.difference import Pair, corrected

ROWS = 5_000  # of one write
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
TRIES = 10  # half a minute, where the store refuses connections


async def mend(
    store: HistoryStore, different: Iterable[Pair], seen_ms: Mapping[int, int], written: Callable[[int], None]
) -> None:
    """`seen_ms`: the newest event, by teller. Calls `written` with the points of each write. Cut short, it is simply
    done again: the values are absolute. Raises StoreUnavailableError, StoreRefusedError."""
    rows = (row for pair in different if (row := corrected(pair, seen_ms)) is not None)
    while some := list(islice(rows, ROWS)):
        await _until_written(store, some)
        written(len(some))


async def _until_written(store: HistoryStore, rows: list[Row]) -> None:
    pause_s = FIRST_PAUSE_S
    for left in reversed(range(TRIES)):
        try:
            await store.write(rows)
            return
        except StoreUnavailableError:
            if not left:
                raise
        await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311 -- jitter, not a secret
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
