"""Several processes of the gateway on one port: viewers of each are told the same, and they come and go together."""

import contextlib
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import psutil
from gateway_process import ended, serving
from live_gateway import Writer, say
from running import eventually
from watching import Page
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from pipelines.live.writer import LiveWriter
from wire import frames
from wire.frames import PROTOCOL, Bye, Hello, Measured, Subscribe, Update
from wire.metrics import Metric, MetricPoint, ScopeUpdate

VIEWERS = 24  # that one process gets none of them happens once in eight million times
SCOPE = "course:py101"


def processes(parent: int) -> list[psutil.Process]:
    """Those that serve."""
    found = []
    for each in psutil.Process(parent).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just been killed
            if "spawn_main" in " ".join(each.cmdline()):
                found.append(each)
    return found


def viewers_of(process: psutil.Process, port: int) -> int:
    links = process.net_connections("tcp")
    return sum(link.status == psutil.CONN_ESTABLISHED and link.laddr.port == port for link in links)


@asynccontextmanager
async def watching(port: int, number: int) -> AsyncIterator[list[ClientConnection]]:
    async with AsyncExitStack() as stack:
        viewers = []
        for _ in range(number):
            viewer = await stack.enter_async_context(
                connect(f"ws://127.0.0.1:{port}/ws/live", subprotocols=[Subprotocol(PROTOCOL)], compression=None)
            )
            assert isinstance(frames.decode(await viewer.recv()), Hello)
            await say(viewer, Subscribe(scope=SCOPE))
            viewers.append(viewer)
        yield viewers


async def test_viewers_of_both_are_told_the_same_and_both_end_with_a_bye(redis_url: str) -> None:
    async with (
        Writer(redis_url) as writer,
        serving(CLASSPULSE_REDIS_URL=redis_url, CLASSPULSE_GATEWAY_PROCESSES="2") as (port, process),
    ):
        await writer.write(SCOPE)

        async def both() -> bool:
            return len(processes(process.pid)) == 2 and all(
                any(link.status == psutil.CONN_LISTEN for link in each.net_connections("tcp"))
                for each in processes(process.pid)
            )

        await eventually(both, 30, "both listen")
        async with watching(port, VIEWERS) as viewers:
            pages = [Page(SCOPE) for _ in viewers]
            for viewer, page in zip(viewers, pages, strict=True):
                page.take(await viewer.recv())
            assert all(viewers_of(each, port) for each in processes(process.pid))
            for _ in range(20):
                await writer.write(SCOPE)
            for viewer, page in zip(viewers, pages, strict=True):
                while page.scopes[SCOPE].offset < 21:
                    page.take(await viewer.recv())
            assert all(page.scopes[SCOPE].values == pages[0].scopes[SCOPE].values for page in pages)
            now = MetricPoint(
                metric=Metric.EVENTS_PER_MINUTE,
                window_s=60,
                start_ms=int(time.time()) * 1_000,
                value=1,
                n=1,
                as_of_ms=int(time.time() * 1_000),
            )
            pipeline = LiveWriter(redis_url)
            await pipeline.write([ScopeUpdate(scope=SCOPE, points=[now])])
            await pipeline.close()
            for viewer in viewers:
                await say(viewer, Measured(frame_ms=[100], paint_ms=[150, 170]))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

                async def added_up() -> bool:
                    said = (await client.get("/metrics")).text
                    return all(
                        f'classpulse_live_latency_seconds_count{{at="{at}"}} {float(count)}\n' in said
                        for at, count in (("gateway", 2), ("frame", VIEWERS), ("paint", 2 * VIEWERS))
                    )

                await eventually(added_up, 10, "the metrics of both are added up")
            served = processes(process.pid)
            process.send_signal(signal.SIGTERM)
            for viewer in viewers:
                while not isinstance(frame := frames.decode(await viewer.recv()), Bye):
                    assert isinstance(frame, Update)
        code, log = await ended(process)
    assert code == 0
    assert [line for line in log if line["level"] in ("error", "critical")] == []
    assert not any(each.is_running() for each in served)


async def test_one_that_is_killed_is_started_again_and_all_end_with_their_parent(redis_url: str) -> None:
    async with serving(CLASSPULSE_REDIS_URL=redis_url, CLASSPULSE_GATEWAY_PROCESSES="2") as (_, process):

        async def two() -> list[psutil.Process]:
            found = processes(process.pid)
            return found if len(found) == 2 else []

        before = await eventually(two, 30, "two serve")
        before[0].kill()

        async def another() -> list[psutil.Process]:
            found = await two()
            return found if found and before[0] not in found else []

        after = await eventually(another, 30, "two serve again")
        process.kill()

        async def gone() -> bool:
            return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in after)

        await eventually(gone, 30, "none is left")
