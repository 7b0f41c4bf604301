"""Going on behind a record that nobody can digest."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from batching.records import Batch, Record


async def bisect(
    batch: Batch,
    work: Callable[[Sequence[Record]], Any],
    bury: Callable[[Record, Exception], Any],
    errors: type[Exception] | tuple[type[Exception], ...] = Exception,
) -> None:
    """Runs `work` on the batch; where it raises one of `errors`, on its halves, and so on: a record that fails alone
    goes to `bury` with its error, the rest goes through `work` once, in order. Either may be async.

    `work` must have done nothing when it raises: decode first, then change. `errors` should say what a bad record
    raises; an error of another kind, a server that is away for instance, is nobody's fault here and is passed on.
    """
    await _halves(batch.records, work, bury, errors)


async def _halves(records: Sequence[Record], work: Any, bury: Any, errors: Any) -> None:
    try:
        await _result(work(records))
    except errors as error:
        if len(records) == 1:
            await _result(bury(records[0], error))
            return
        middle = len(records) // 2
    else:
        return
    await _halves(records[:middle], work, bury, errors)
    await _halves(records[middle:], work, bury, errors)


async def _result(value: Any) -> None:
    if inspect.isawaitable(value):
        await value
