"""API keys against a real PostgreSQL: made, found, revoked, remembered over an outage, and the command."""

import re
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from cli.keys import app
from gateway import schema
from gateway.database import Database, DatabaseAwayError
from gateway.security import keys
from gateway.security.keys import FRESH_S, KEPT_S, RETRY_S, KeyNameError, KeyRateError, KeyRing, Role


class Clock:
    """Told what time it is."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_key_is_good_until_revoked_and_its_name_is_free_again(database: Database) -> None:
    key = await keys.create(database, "lms", ["py101", "ds201", "py101"])
    assert re.fullmatch(r"cp_[\w-]{43}", key)
    found = await keys.find(database, key)
    assert found is not None
    assert (found.name, found.prefix, found.courses) == ("lms", key[:8], frozenset({"py101", "ds201"}))
    assert (found.may_send("py101"), found.may_send("web110")) == (True, False)
    with pytest.raises(KeyNameError, match="already"):
        await keys.create(database, "lms")

    assert await keys.revoke(database, "lms")
    assert not await keys.revoke(database, "lms")
    assert await keys.find(database, key) is None
    assert await keys.create(database, "lms") != key
    assert [(k.name, k.revoked_at is None) for k in await keys.listed(database)] == [("lms", False), ("lms", True)]


async def test_a_key_has_one_role_and_sends_events_where_nothing_else_is_said(database: Database) -> None:
    for role, key in (
        (Role.PRODUCER, await keys.create(database, "lms")),
        (Role.ADMIN, await keys.create(database, "ops", role=Role.ADMIN)),
    ):
        found = await keys.find(database, key)
        assert found is not None
        assert found.role is role


@pytest.mark.parametrize("rate", ["6000/minute", "10/second;20000/hour", None])
async def test_a_key_may_have_a_rate_of_its_own(database: Database, rate: str | None) -> None:
    found = await keys.find(database, await keys.create(database, "lms", rate=rate))
    assert found is not None
    assert found.rate == rate
    assert [each.rate for each in await keys.listed(database)] == [rate]


@pytest.mark.parametrize("rate", ["", "6000", "0/minute", "10/fortnight", "10/minute; 5/hour", "10/minute\n"])
async def test_a_rate_that_cannot_be_read_gets_into_no_key(database: Database, rate: str) -> None:
    with pytest.raises(KeyRateError, match="expected a number per second, minute, hour or day"):
        await keys.create(database, "lms", rate=rate)
    await keys.create(database, "lms")
    async with database.transaction() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE api_keys SET rate = $1", rate)


async def test_the_key_itself_is_nowhere_in_the_database(database: Database) -> None:
    key = await keys.create(database, "lms")
    rows = await database.fetch("SELECT api_keys::text AS row FROM api_keys")
    assert key[8:] not in rows[0]["row"]


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "-x", "a\n", "é", "a/b"])
async def test_a_name_that_cannot_be_a_source_is_refused(database: Database, name: str) -> None:
    with pytest.raises(KeyNameError, match="is no name for a key"):
        await keys.create(database, name)


async def test_a_revoked_key_is_refused_when_it_is_asked_about_again(database: Database) -> None:
    clock = Clock()
    ring = KeyRing(database, clock)
    key = await keys.create(database, "lms")
    assert await ring.verify(key) is not None
    await keys.revoke(database, "lms")
    clock.now += FRESH_S - 0.1
    assert await ring.verify(key) is not None
    clock.now += 0.2
    assert await ring.verify(key) is None


async def test_an_unknown_key_is_asked_about_each_time(database: Database) -> None:
    ring = KeyRing(database)
    assert await ring.verify("cp_unknown") is None
    assert await ring.verify("\x00\xff" * 5_000) is None
    key = await keys.create(database, "lms")
    assert await ring.verify(key) is not None


async def test_a_known_key_stays_good_for_a_while_when_postgresql_is_away(database: Database) -> None:
    clock = Clock()
    ring = KeyRing(database, clock)
    key = await keys.create(database, "lms")
    assert await ring.verify(key) is not None

    await database.stop()
    clock.now += FRESH_S + 1
    assert await ring.verify(key) is not None
    with pytest.raises(DatabaseAwayError):
        await ring.verify("cp_unknown")
    clock.now += KEPT_S - FRESH_S - RETRY_S - 2
    assert await ring.verify(key) is not None
    clock.now += RETRY_S + 2
    with pytest.raises(DatabaseAwayError):
        await ring.verify(key)

    await database.start()
    assert await ring.verify(key) is not None


@pytest.fixture
async def run(postgres_url: str) -> Callable[..., Result]:
    await schema.migrate(postgres_url)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--postgres", postgres_url])


def test_the_command_shows_a_key_once(run: Callable[..., Result]) -> None:
    made = run("create", "lms", "--course", "py101", "--course", "ds201")
    key = made.stdout.strip()
    assert re.fullmatch(r"cp_[\w-]{43}", key)
    again = run("create", "lms")
    assert (again.exit_code, "already" in again.output) == (1, True)
    listed = run("list").output
    assert key not in listed
    assert re.search(rf"lms +{key[:8]} +ds201 py101 ", listed)
    assert run("revoke", "lms").exit_code == 0
    assert run("revoke", "lms").exit_code == 1


def test_the_command_gives_a_key_its_rate_and_makes_another_for_another_rate(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "key"
    ensure = ("create", "lms", "--ensure", "--file", str(file), "--rate")
    made = [(run(*ensure, rate).exit_code, file.read_text()) for rate in ("10/minute", "10/minute", "20/minute")]
    assert [code for code, _ in made] == [0, 0, 0]
    assert made[0] == made[1] != made[2]
    assert "20/minute" in run("list").stdout


def test_the_command_writes_a_key_for_its_owner_only_and_makes_sure_it_is_good(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "demo.key"
    ensure = ("create", "demo", "--file", str(file), "--ensure")

    def ensured() -> str:
        result = run(*ensure)
        assert result.exit_code == 0, result.output
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text().strip() not in result.output
        return file.read_text()

    first = ensured()
    assert ensured() == first
    assert run("revoke", "demo").exit_code == 0
    second = ensured()
    assert second != first
    file.write_bytes(b"\xff")
    file.chmod(0o644)
    assert ensured() not in (first, second)
    assert run(*ensure, "--course", "py101").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["demo.key"]
    assert re.search(r"demo +\S+ +py101 ", run("list").output)


def test_the_command_makes_an_admins_key_and_takes_no_other_for_it(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "ops.key"
    assert run("create", "ops", "--file", str(file)).exit_code == 0
    assert run("create", "ops", "--file", str(file), "--ensure", "--admin").exit_code == 0
    assert re.search(r"ops +\S+ +all .*\n(.*\n)*? ops +\S+ +none: admin ", run("list").output)
    made = file.read_text()
    assert run("create", "ops", "--file", str(file), "--ensure", "--admin").exit_code == 0
    assert file.read_text() == made


def test_the_command_keeps_no_key_that_could_not_be_written(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("create", "lms", "--file", str(tmp_path / "missing" / "key"))
    assert (result.exit_code, "the key was revoked" in result.output) == (1, True)
    assert run("create", "lms").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("lms", "--ensure"),
        ("lms", "--course", ""),
        ("lms", "--course", "a\tb"),
        ("ops", "--admin", "--course", "py101"),
        ("ops", "--admin", "--rate", "10/minute"),
        ("lms", "--rate", "0/minute"),
        ("lms", "--rate", "10/minute\n"),
        ("lms", "--rate", "many"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(run: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    assert run("create", *arguments).exit_code == 2
