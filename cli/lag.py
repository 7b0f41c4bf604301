"""`classpulse lag`: how the consumer groups do, with a verdict and its reason, whether or not a gateway runs."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Annotated

import redis.asyncio as redis
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from cli import cells
from cli.questions import EXIT_FAILED, complain
from cli.topics import KAFKA, Kafka
from gateway import workers
from gateway.lag import views
from gateway.lag.board import View
from gateway.lag.sampler import Sampler, our_groups
from gateway.lag.states import PATIENCE
from gateway.lag.views import Clock, ConsumersView, PartitionView

EXIT_BAD = 1
REDIS_TIMEOUT_S = 2.0
# What one look cannot tell: whether anything moves, and whether whoever left comes back.
LOOK_S = PATIENCE.trend_s + 1

console = Console()

Redis = Annotated[
    str, typer.Option("--redis", envvar="CLASSPULSE_REDIS_URL", help="Where the workers' heartbeats are.")
]
RedisDefault = "redis://127.0.0.1:6379/0"


def lag(
    group: Annotated[str, typer.Argument(help="Each partition of this group; default: the groups.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs: all that the API tells.")] = False,
    seconds: Annotated[float, typer.Option("--for", min=2, help="How long to look before the verdict.")] = LOOK_S,
    kafka: Kafka = KAFKA,
    redis: Redis = RedisDefault,
) -> None:
    """How the consumer groups do, and why. Exit codes: 0 all keep up; 1 one does not; 2 a wrong option; 3 Kafka is
    away."""
    groups = our_groups()
    if group and group not in groups:
        raise typer.BadParameter(f"there is no group {group!r}; there are {', '.join(groups)}")
    for name in ("aiokafka", "gateway.lag"):  # the verdict tells the reason
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_look(kafka, redis, group, watch, json, seconds))


async def _look(kafka: str, redis_url: str, group: str, watch: bool, json: bool, seconds: float) -> None:
    async with _sampling(kafka, redis_url) as sampler:
        if watch:
            with Live(console=console, auto_refresh=False) as live:
                while True:
                    live.update(_shown(sampler, group), refresh=True)
                    await asyncio.sleep(1)
        with console.status(f"looking for {seconds:.0f} s"):
            await asyncio.sleep(seconds)
    if json:
        told = views.partitions(sampler.view, group, _clock()) if group else None
        if told is None:
            typer.echo(_told(sampler).model_dump_json(indent=2))
        else:
            typer.echo("[" + ",\n".join(one.model_dump_json(indent=2) for one in told) + "]")
    else:
        console.print(_shown(sampler, group))
    if sampler.away:
        complain(sampler.away)
        raise typer.Exit(EXIT_FAILED)
    state = sampler.view.groups[group].state if group else sampler.view.system.state
    if not state.fine:
        raise typer.Exit(EXIT_BAD)


@contextlib.asynccontextmanager
async def _sampling(kafka: str, redis_url: str) -> AsyncIterator[Sampler]:
    client = redis.from_url(redis_url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)
    servers = [address.strip() for address in kafka.split(",")]
    sampler = Sampler(servers, lambda: workers.heartbeats(client), _unheard, our_groups())
    try:
        await sampler.start()
        yield sampler
    finally:
        await sampler.stop()
        await client.aclose()


def _unheard(_view: View, _seen_at_s: float | None) -> None:
    """Nobody scrapes a command."""


def _clock() -> Clock:
    return Clock(time.monotonic(), int(time.time() * 1000))


def _told(sampler: Sampler) -> ConsumersView:
    return views.consumers(sampler.view, our_groups(), list(sampler.changes), sampler.away, _clock())


def _shown(sampler: Sampler, group: str) -> Group:
    told = _told(sampler)
    if not group:
        shown = cells.groups([one.model_dump(mode="json") for one in told.groups])
        return Group(shown, *(cells.why(one.group, one.verdict, one.says) for one in told.groups))
    (whole,) = (one for one in told.groups if one.group == group)
    rows = views.partitions(sampler.view, group, _clock())
    bad = [one for one in rows if not one.verdict.fine]
    return Group(
        cells.why(group, whole.verdict, whole.says),
        _partitions(rows),
        *(cells.why(f"{one.topic} {one.partition}", one.verdict, one.says) for one in bad),
    )


def _partitions(told: list[PartitionView]) -> Table:
    rows = cells.table(
        "topic", "verdict", "committed", "end", "lag", "oldest", "in/s", "out/s", "sure", words=("topic", "verdict")
    )
    for one in told:
        rows.add_row(
            f"{one.topic} {one.partition}", cells.verdict(one.verdict),
            "never" if one.committed is None else f"{one.committed:,}", f"{one.end:,}", f"{one.lag:,}",
            cells.seconds(one.lag_s), f"{one.rate_in:,.1f}", f"{one.rate_out:,.1f}", f"{one.confidence:.0%}",
        )  # fmt: skip
    return rows
