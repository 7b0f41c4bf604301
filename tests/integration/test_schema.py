"""The tables in a real PostgreSQL: brought to SCHEMA once, by however many at once; and what is said where it fails."""

import asyncio

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from typer.testing import CliRunner

from cli.db import app
from gateway import schema
from gateway.database import SCHEMA, Database, DatabaseAwayError, connected
from stack import ports
from wire import history


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]


async def test_several_at_once_migrate_once(postgres_url: str) -> None:
    assert await schema.current(postgres_url) is None
    found = await asyncio.gather(*(schema.migrate(postgres_url) for _ in range(4)))
    assert sorted(found, key=str) == [SCHEMA] * 3 + [None]
    assert await schema.current(postgres_url) == SCHEMA


async def test_a_migration_that_fails_leaves_nothing_behind(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"CREATE TABLE {history.TABLE} (n int)")  # the last table of all is in the way
    with pytest.raises(schema.SchemaError, match="already exists"):
        await schema.migrate(postgres_url)
    assert await connection.fetchval("SELECT to_regclass('api_keys')") is None
    await connection.execute(f"DROP TABLE {history.TABLE}")
    await connection.close()
    assert await schema.migrate(postgres_url) is None


async def test_the_history_table_is_keyed_as_the_stores_expect(postgres_url: str) -> None:
    await schema.migrate(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    key = await connection.fetch(
        """SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
        WHERE indrelid = $1::text::regclass AND indisprimary ORDER BY array_position(indkey::int[], attnum::int)""",
        history.TABLE,
    )
    await connection.close()
    assert [row["attname"] for row in key] == ["scope", "metric", "label", "start_ms"]


async def test_history_of_before_there_were_states_is_provisional(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    old = {"scope": "course:c", "metric": "error_rate", "label": "", "start_ms": 0}
    said = {"window_s": 300, "value": 0.5, "n": 2, "as_of_ms": 299_000}
    await schema.migrate(postgres_url, "0001")
    columns = ", ".join(old | said)
    await connection.execute(
        f"INSERT INTO {history.TABLE} ({columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", *(old | said).values()
    )
    assert await schema.migrate(postgres_url) == "0001"
    (row,) = await connection.fetch(f"SELECT * FROM {history.TABLE}")
    await connection.close()
    assert dict(row) == old | said | {"state": "provisional", "watermark_ms": 0}


async def test_a_database_tells_its_version_and_what_is_wrong_with_it(postgres_url: str) -> None:
    async with connected(postgres_url, 5) as database:
        assert await database.schema_version() is None
        with pytest.raises(DatabaseAwayError, match="classpulse db migrate"):
            await database.fetch("SELECT * FROM api_keys")
        await schema.migrate(postgres_url)
        assert await database.schema_version() == SCHEMA


async def test_a_question_without_an_answer_ends_in_time(postgres_url: str) -> None:
    async with connected(postgres_url, 5) as database:
        with pytest.raises(DatabaseAwayError, match=r"no answer within 0\.2 s"):
            await database.fetch("SELECT pg_sleep(60)", timeout_s=0.2)
        assert (await database.fetch("SELECT 1 AS one"))[0]["one"] == 1


async def test_nothing_is_kept_of_a_transaction_that_raised(postgres_url: str) -> None:
    async with connected(postgres_url, 5) as database:
        await database.fetch("CREATE TABLE t (n int)")

        async def insert_and_raise() -> None:
            async with database.transaction() as connection:
                await connection.execute("INSERT INTO t VALUES (1)")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await insert_and_raise()
        assert await database.fetch("SELECT * FROM t") == []


async def test_a_database_that_is_not_started_or_not_there_is_away() -> None:
    with pytest.raises(DatabaseAwayError, match="not started"):
        await Database("postgresql://127.0.0.1:1/d").fetch("SELECT 1")
    with pytest.raises(DatabaseAwayError) as away:
        async with connected(f"postgresql://user:s3cret@127.0.0.1:{ports.free()}/d", 0):
            pass
    assert "waited 0 s" in str(away.value)
    assert "s3cret" not in str(away.value)


def test_the_command_migrates_and_says_where_it_is(postgres_url: str) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*arguments, "--postgres", postgres_url])
        return result.exit_code, result.output.strip()

    assert run("current") == (1, f"empty\nthe newest is {SCHEMA}: `classpulse db migrate` goes there")
    assert run("migrate") == (0, f"schema {SCHEMA} (was empty)")
    assert run("migrate") == (0, f"schema {SCHEMA}")
    assert run("current") == (0, SCHEMA)


@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/d", "postgresql://h:port/d", "postgresql://[::1", "nonsense"])
def test_the_command_refuses_what_is_no_url_without_showing_it(url: str) -> None:
    result = CliRunner().invoke(app, ["current", "--postgres", url])
    assert result.exit_code == 2
    assert "expected postgresql://" in result.output
    assert "s3cret" not in result.output


def test_the_command_says_where_it_waited(postgres_url: str) -> None:
    nowhere = f"postgresql://u:s3cret@127.0.0.1:{ports.free()}/d"
    result = CliRunner().invoke(app, ["migrate", "--postgres", nowhere, "--wait", "0.3"])
    assert result.exit_code == 2
    assert "(waited 0.3 s)" in result.output
    assert "s3cret" not in result.output
    missing = CliRunner().invoke(app, ["migrate", "--postgres", f"{postgres_url}_not", "--wait", "0"])
    assert missing.exit_code == 2
    assert "does not exist" in missing.output
