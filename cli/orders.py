"""`classpulse consumers pause|resume` and `classpulse workers drain`: what the workers are ordered to do."""

import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated

import redis.asyncio as redis
import typer
from redis.exceptions import RedisError

from cli.db import POSTGRES, Postgres, RefusedError, Wait, complain, run, tell
from cli.lag import REDIS_TIMEOUT_S, Redis, RedisDefault
from cli.questions import author, me
from gateway.database import Database, DatabaseAwayError
from gateway.lag.sampler import our_groups
from gateway.orders import book
from gateway.orders.board import NoWorkerError, OrderBoard
from gateway.orders.book import DRAIN, FOR_S, PAUSE, RESUME, StandsError, TooLongError
from gateway.security import audit_log
from gateway.security.audit_log import Entry
from wire.orders import Drain

_FOR = re.compile(r"(\d{1,6})([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _app(about: str) -> typer.Typer:
    made = typer.Typer(help=about, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    made.callback()(lambda: None)  # with one command alone, that would be left out of the line
    return made


consumers = _app("Consumer groups: pause one, resume it. `classpulse lag` tells how they do.")
drained = _app("Workers: drain one. `classpulse status` tells which there are.")


def _group(group: str) -> str:
    if group not in our_groups():
        raise typer.BadParameter(f"there is no group {group!r}; there are {', '.join(our_groups())}")
    return group


def _why(reason: str) -> str:
    if not 1 <= len(reason.strip()) <= 500:
        raise typer.BadParameter("expected 1 to 500 characters: it is kept in the audit log")
    return reason.strip()


def _seconds(text: str) -> int:
    if (match := _FOR.fullmatch(text)) is None:
        raise typer.BadParameter(f"expected 90s, 30m or 2h, got {text!r}")
    return int(match[1]) * _SECONDS[match[2]]


def _time(text: str) -> str:
    _seconds(text)
    return text


Group = Annotated[str, typer.Argument(help="As `classpulse lag` names it.", callback=_group)]
Reason = Annotated[str, typer.Option("--reason", callback=_why, help="Why; it is kept in the audit log.")]


@consumers.command()
def pause(
    group: Group,
    reason: Reason,
    for_: Annotated[
        str, typer.Option("--for", callback=_time, metavar="TIME", help="90s, 30m or 2h: then it goes on by itself.")
    ] = f"{FOR_S // 3600}h",
    postgres: Postgres = POSTGRES,
    redis_url: Redis = RedisDefault,
    wait: Wait = 30.0,
) -> None:
    """Let the workers of a group take no further batch: they commit what they have, and stay in the group."""

    async def order(database: Database) -> None:
        try:
            wanted = book.wanted(group, our_groups()[group], me(), reason, _seconds(for_), _now_ms())
            await book.pause(database, wanted, Entry(author(), PAUSE, group, detail=reason))
        except (TooLongError, StandsError) as error:
            raise RefusedError(str(error)) from None
        await _told(database, redis_url)
        tell(f"{group} is {wanted.says}")

    run(order, postgres, wait)


@consumers.command()
def resume(
    group: Group,
    reason: Reason,
    postgres: Postgres = POSTGRES,
    redis_url: Redis = RedisDefault,
    wait: Wait = 30.0,
) -> None:
    """End a pause: the workers go on where they had committed."""

    async def order(database: Database) -> None:
        try:
            ended = await book.resume(database, group, _now_ms(), Entry(author(), RESUME, group, detail=reason))
        except StandsError as error:
            raise RefusedError(str(error)) from None
        await _told(database, redis_url)
        tell(f"{group} goes on; it was {ended.says}")

    run(order, postgres, wait)


@drained.command()
def drain(
    worker_id: Annotated[str, typer.Argument(help="As `classpulse status` names it.", metavar="ID")],
    reason: Reason,
    postgres: Postgres = POSTGRES,
    redis_url: Redis = RedisDefault,
    wait: Wait = 30.0,
) -> None:
    """Let one worker finish, commit, leave its group and end with exit code 0."""
    entry = Entry(author(), DRAIN, worker_id, detail=reason)

    async def order(database: Database) -> None:
        async with _board(database, redis_url) as board:
            await board.worker(worker_id)
            await audit_log.write(database, entry)
            if not await board.drain(worker_id, Drain(by=me(), reason=reason, at_ms=_now_ms())):
                raise RefusedError(f"{worker_id} is being drained already")
        tell(f"{worker_id} is told to end")

    async def bounded(database: Database) -> None:
        try:
            await order(database)
        except NoWorkerError as error:
            raise RefusedError(str(error)) from None
        except (RedisError, OSError) as error:
            raise RefusedError(f"Redis, by which workers are told: {error}") from None

    run(bounded, postgres, wait)


async def _told(database: Database, redis_url: str) -> None:
    """Also where no gateway runs that would."""
    try:
        async with _board(database, redis_url) as board:
            await board.tell()
    except (RedisError, OSError, DatabaseAwayError) as error:
        complain(f"the order stands, and a gateway tells the workers as soon as it can: {error}")


@contextlib.asynccontextmanager
async def _board(database: Database, redis_url: str) -> AsyncIterator[OrderBoard]:
    client = redis.from_url(redis_url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)
    try:
        yield OrderBoard(database, client, tuple(our_groups()))
    finally:
        await client.aclose()


def _now_ms() -> int:
    return int(time.time() * 1000)
