"""The drawing of the pipeline for those who watch it live: made once for all of them, and only while somebody does."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Mapping
from typing import NoReturn

import structlog
from msgspec import Raw

from gateway.ending import ended
from gateway.oncall import drawing
from gateway.oncall.drawing import Flow
from gateway.oncall.lookout import Lookout
from gateway.oncall.performance import Sources
from gateway.oncall.places import Pipeline
from wire.frames import ONCALL, Update
from wire.topics import Topic

EVERY_S = 2.0  # as the lookout looks
AGAIN_S = 1.0  # who comes sooner after the last drawing gets that one

log = structlog.get_logger(__name__)


class Broadcast:
    def __init__(self, lookout: Lookout, sources: Sources, there: Mapping[str, Topic]) -> None:
        """`there`: all topics."""
        self._lookout = lookout
        self._sources = sources
        self._there = there
        self._feed = sources.feed
        self._wanted = asyncio.Event()
        self._epoch = secrets.token_hex(8)  # another process has another, and a snapshot for who comes from here
        self._newest: Update | None = None
        self._made_s = 0.0
        self._task: asyncio.Task[NoReturn] | None = None
        self._feed.own(ONCALL, self._wanted.set)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="on-call broadcast")

    async def stop(self) -> None:
        await ended(self._task)

    async def draw(self) -> Pipeline:
        of, now_s = self._sources, time.monotonic()
        flow = Flow(
            accepted=of.meters.accepted.per_s(now_s),
            deliveries=of.meters.deliveries.per_s(now_s),
            viewers=of.doors.viewers,
            behind=len(self._feed.fanout.behind),
        )
        look, lag, now_ms = await self._lookout.newest(), of.sampler.view, int(time.time() * 1000)
        return drawing.view(look, self._lookout.changes, lag, of.sampler.extents, self._there, flow, now_ms)

    async def _run(self) -> NoReturn:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._wanted.wait()
            self._wanted.clear()
            if not self._feed.watches(ONCALL):
                continue
            try:
                self._feed.tell(await self._made())
            except Exception:  # a fault of ours: who watches sees by its time that what he has is old
                log.exception("the pipeline could not be drawn")

    async def _made(self) -> Update:
        now_s = asyncio.get_running_loop().time()
        if self._newest is None or now_s - self._made_s >= AGAIN_S:
            offset = 1 if self._newest is None else self._newest.offset + 1
            drawn = Raw((await self.draw()).model_dump_json().encode())
            self._newest = Update(scope=ONCALL, epoch=self._epoch, offset=offset, values=[], pipeline=drawn)
            self._made_s = now_s
        return self._newest
