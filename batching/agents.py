"""Batches to the agents: a topic, the stream over it, and an agent that may not end.

The iterator is a class of our own, not Faust's generator: a batch is acknowledged when the agent asks for the next
one, which it does only if its loop body got through. Faust acknowledges in a `finally`, also what raised.

Relies on faust.Agent._execute_actor and on faust.Stream.__aiter__ being all that an agent calls.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import faust
from faust.exceptions import ImproperlyConfigured

from batching.records import Batch
from batching.shard import Shard


class BatchTopic(faust.Topic):  # type: ignore[misc]
    """A topic whose agent gets Batch objects."""


class _Batches:
    def __init__(self, app: Any, topic: str) -> None:
        self._app = app
        self._topic = topic
        self._held: tuple[Shard, Batch] | None = None

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    async def __anext__(self) -> Batch:
        if self._held is not None:
            held, self._held = self._held, None
            self._app.acknowledge(*held)
        self._held = await self._app.delivery.take(self._topic)
        return self._held[1]


class BatchStream(faust.Stream):  # type: ignore[misc]
    def __aiter__(self) -> AsyncIterator[Any]:
        if isinstance(self.channel, BatchTopic):
            return _Batches(self.app, self.channel.topics[0])
        iterator: AsyncIterator[Any] = super().__aiter__()
        return iterator


class BatchAgent(faust.Agent):  # type: ignore[misc]
    def __init__(self, fun: Any, *, channel: Any = None, app: Any = None, **options: Any) -> None:
        if not isinstance(channel, BatchTopic):
            raise ImproperlyConfigured("an agent of a batching app reads a batch_topic()")
        if options.get("concurrency", 1) not in (None, 1) or options.get("isolated_partitions"):
            raise ImproperlyConfigured("batches of a partition go one after the other to one agent")
        super().__init__(fun, channel=channel, app=app, **options)

    async def _execute_actor(self, coro: Awaitable[Any], aref: Any) -> None:  # noqa: ARG002 - Faust calls it
        try:
            await coro
        except asyncio.CancelledError:
            if self.should_stop or self.app.should_stop:
                raise
            self.app.fail(f"agent {self.name} was cancelled")
        except Exception as error:
            self.app.fail(f"agent {self.name} failed; its batch will be read again", error)
        else:
            if not self.should_stop and not self.app.should_stop:
                self.app.fail(f"agent {self.name} has ended")
