"""PostgreSQL, asked with a bound on everything: connections, waiting for one, each answer."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

CONNECTIONS_MAX = 10  # PostgreSQL's default is 100 for everybody; our questions take milliseconds
CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 5.0  # also the longest wait for a free connection
WAIT_PAUSE_S = 2.0  # longest pause between two attempts of `connected`

SCHEMA = "0008"  # the newest of migrations/versions/: the tables as this code wants them

# What PostgreSQL holds against our values, not against being asked: the caller's affair.
_REFUSALS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)

Connection = Any  # asyncpg.Connection, or the pool's stand-in for one


class DatabaseAwayError(Exception):
    """PostgreSQL cannot be reached, does not answer in time, or does not know our tables; the message says which."""


class Database:
    """A pool that opens its first connection with the first question, so it can be started while PostgreSQL is away.

    A connection that broke is replaced by the next question: there is nothing to do when PostgreSQL comes back.
    """

    def __init__(self, url: str) -> None:
        """`url` as libpq takes it: postgresql://USER:PASSWORD@HOST:PORT/DATABASE."""
        self._url = url
        self._pool: asyncpg.Pool | None = None

    async def start(self) -> None:
        """Connects to nothing yet."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=ANSWER_TIMEOUT_S,
            server_settings={"application_name": "classpulse", "timezone": "UTC"},
        )

    async def stop(self) -> None:
        """Waits for the questions under way, up to ANSWER_TIMEOUT_S; then cuts them off."""
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), ANSWER_TIMEOUT_S)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def transaction(self, *, readonly: bool = False) -> AsyncIterator[Connection]:
        """All or nothing; `readonly` sees everything as of one moment. Raises DatabaseAwayError, also at the commit.

        Cancelling is safe: nothing is kept then.
        """
        isolation = "repeatable_read" if readonly else None
        async with self._connection() as connection, connection.transaction(isolation=isolation, readonly=readonly):
            yield connection

    async def fetch(self, sql: str, *arguments: object, timeout_s: float = ANSWER_TIMEOUT_S) -> list[asyncpg.Record]:
        """The rows of one statement. `timeout_s` covers the connection too. Raises DatabaseAwayError."""
        try:
            async with asyncio.timeout(timeout_s), self._connection() as connection:
                try:
                    return list(await connection.fetch(sql, *arguments))
                except asyncio.CancelledError:
                    # Else the pool would ask PostgreSQL to cancel, and wait for that answer too.
                    connection.terminate()
                    raise
        except TimeoutError:
            raise DatabaseAwayError(f"PostgreSQL at {place(self._url)}: no answer within {timeout_s:g} s") from None

    async def schema_version(self) -> str | None:
        """The migration the tables are at (SCHEMA when they are as we want them); None where there is none.

        Raises DatabaseAwayError.
        """
        if not (await self.fetch("SELECT to_regclass('alembic_version') IS NOT NULL AS there"))[0]["there"]:
            return None
        rows = await self.fetch("SELECT version_num FROM alembic_version")
        return rows[0]["version_num"] if rows else None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """What goes wrong with it, or is said by PostgreSQL, as a DatabaseAwayError."""
        if self._pool is None:
            raise DatabaseAwayError("the database is not started")
        try:
            async with self._pool.acquire(timeout=ANSWER_TIMEOUT_S) as connection:
                yield connection
        except _REFUSALS:
            raise
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise DatabaseAwayError(f"PostgreSQL at {place(self._url)}: {_told(error)}") from error


@asynccontextmanager
async def connected(url: str, wait_s: float) -> AsyncIterator[Database]:
    """A database that answers, waited for up to `wait_s`. Raises DatabaseAwayError."""
    database = Database(url)
    await database.start()
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    pause_s = 0.1
    try:
        while True:
            try:
                await database.fetch("SELECT 1")
                break
            except DatabaseAwayError as error:
                left_s = deadline - clock()
                if left_s <= 0:
                    raise DatabaseAwayError(f"{error} (waited {wait_s:g} s)") from None
                await asyncio.sleep(min(random.uniform(pause_s / 2, pause_s), left_s))  # noqa: S311 - jitter
                pause_s = min(WAIT_PAUSE_S, pause_s * 2)
        yield database
    finally:
        await database.stop()


def place(url: str) -> str:
    """Where a URL leads, without user and password: fit for logs and messages."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _told(error: BaseException) -> str:
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return f"{error}: its tables are not as we need them; `classpulse db migrate` makes them so"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
