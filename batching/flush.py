"""What a flush of one partition does, in order: rest, hooks, encode, transaction. Each with the deadline in mind."""

import asyncio
import contextlib
import itertools
import time
from typing import Any

from aiokafka.errors import ProducerFenced

from batching import telemetry
from batching.shard import Shard
from batching.tables import POSITION, position_record
from batching.writer import Batches, Writer


async def flush(app: Any, shard: Shard, writer: Writer, last: bool) -> bool:
    """False where somebody else has taken the partition over: nothing was committed, its state is to be dropped.

    Ends the process where it cannot be done in time, or where it cannot be known whether it was done. Concurrent calls
    for one shard follow each other. `last`: the shard is closed already, and is flushed once more. Cancelled, the
    process must not go on with the shard.
    """
    doing = [""]
    try:
        async with shard.flushing, asyncio.timeout(app.limits.flush_timeout_s):
            if not shard.lost and (shard.open or last):
                await _commit(app, shard, writer, doing)
    except ProducerFenced:
        return False
    except TimeoutError as error:
        app.fail(f"partition {shard.number}: no flush within {app.limits.flush_timeout_s} s, {doing[0]}", error)
    except Exception as error:
        app.fail(f"partition {shard.number}: a flush failed, {doing[0]}", error)
    return True


async def _commit(app: Any, shard: Shard, writer: Writer, doing: list[str]) -> None:
    began = time.monotonic()
    doing[0] = "waiting for the end of a batch"
    # With neither tables nor hooks what has been acknowledged can be committed in the middle of the next batch.
    whole = app.write_behind or app.before_commit_hooks
    try:
        async with shard.frozen() if whole else contextlib.nullcontext():
            doing[0] = "in before_commit"
            for hook in app.before_commit_hooks:
                await hook(shard.number)
            doing[0] = "encoding"
            position = dict(shard.position)
            moved = position != shard.committed
            keys = 0
            batches: Batches = []
            for table in app.write_behind:
                pending = table.pending(shard.number)
                if pending or moved:
                    keys += pending
                    told = (POSITION, position_record(position))
                    batches += await writer.fill(table.changelog, itertools.chain(table.changes(shard.number), [told]))
    finally:
        app.delivery.wake()
    if batches or moved:
        doing[0] = "in the transaction"
        shard.ends.update(await writer.commit(batches, position))
        shard.committed = position
        telemetry.FLUSHED.labels(app.conf.id).inc(keys)
        telemetry.FLUSH_SECONDS.labels(app.conf.id).observe(time.monotonic() - began)
    for topic in shard.topics:
        lag, stamp = shard.lag(topic), shard.stamps.get(topic)
        telemetry.LAG_RECORDS.labels(app.conf.id, topic, shard.number).set(lag)
        telemetry.LAG_SECONDS.labels(app.conf.id, topic, shard.number).set(
            max(0.0, time.time() - stamp / 1000) if lag and stamp else 0.0
        )
