"""The tables of PostgreSQL, brought to SCHEMA by the migrations beside this module.

They go forward only: the way back is a backup, because a step back would have to throw away what was stored meanwhile.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gateway.database import CONNECT_TIMEOUT_S, SCHEMA, DatabaseAwayError, place

FOLDER = Path(__file__).parent / "migrations"
LOCK = 0x636C_7075_6C73_6521  # any number that is only ours: "clpulse!"
LOCK_TIMEOUT_S = 60  # another `migrate` that takes longer than this is stuck


class SchemaError(Exception):
    """The tables cannot be brought to SCHEMA; the message says why."""


_Work = Callable[[Connection], str | None]


async def migrate(url: str, to: str = SCHEMA) -> str | None:
    """Brings the tables to that version; returns the one they were at. Two at once: the second waits, and finds nothing
    to do.

    One transaction: killed half way, nothing has changed. Raises DatabaseAwayError, SchemaError.
    """
    return await _on(url, partial(_upgrade, to))


async def current(url: str) -> str | None:
    """The version the tables are at; None where nothing was ever migrated. Raises DatabaseAwayError."""
    return await _on(url, _version)


async def _on(url: str, work: _Work) -> str | None:
    # asyncpg reads the URL, not SQLAlchemy: it must mean the same here as in gateway/database.py.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S),
        poolclass=NullPool,
    )
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise DatabaseAwayError(f"PostgreSQL at {place(url)}: {error}") from error
    except (SQLAlchemyError, CommandError) as error:
        raise SchemaError(f"PostgreSQL at {place(url)}: {error}") from error
    finally:
        await engine.dispose()


def _upgrade(to: str, connection: Connection) -> str | None:
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
    connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    before = _version(connection)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))  # its values are interpolated
    config.attributes["connection"] = connection
    command.upgrade(config, to)
    return before


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
