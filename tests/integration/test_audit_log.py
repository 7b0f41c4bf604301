"""The audit log in a real PostgreSQL: it only grows, and whatever is done to it behind its triggers is found."""

import asyncio
import re
from collections.abc import Callable

import asyncpg
import pytest
from running import eventually
from typer.testing import CliRunner, Result

from cli.audit import app
from gateway.database import Database, DatabaseAwayError
from gateway.security import audit_log, recorder
from gateway.security.audit_log import Entry, Head
from gateway.security.recorder import Recorder


async def append(database: Database, *entries: Entry) -> Head:
    async with database.transaction() as connection:
        return await audit_log.append(connection, entries)


async def ten(database: Database) -> Head:
    await append(database, *(Entry(f"p{number}", "read", "s1") for number in range(5)))
    return await append(database, *(Entry(f"p{number}", "read", "s1") for number in range(5, 10)))


async def behind_the_triggers(database: Database, *statements: str) -> None:
    async with database.transaction() as connection:
        for table in ("audit_log", "audit_head"):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        for statement in statements:
            await connection.execute(statement)
        for table in ("audit_log", "audit_head"):
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")


async def test_many_at_once_are_one_chain(database: Database) -> None:
    await asyncio.gather(*(append(database, Entry(f"p{number}", "read")) for number in range(20)))
    odd = ["a\0b", "\ud800", "é" * 1_000, "学習"]
    head = await append(database, *(Entry(text, "login", detail=text) for text in odd))
    verdict = await audit_log.verify(database, head)
    assert (verdict.rows, verdict.head, verdict.wrong) == (24, head, [])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET who = 'x' WHERE seq = 3",
        "DELETE FROM audit_log WHERE seq = 3",
        "TRUNCATE audit_log",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
        "UPDATE audit_head SET seq = seq - 1",
        "UPDATE audit_head SET hash = decode(repeat('00', 32), 'hex')",
    ],
)
async def test_it_only_grows(database: Database, statement: str) -> None:
    head = await ten(database)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="only grows"):
        await database.fetch(statement)
    assert (await audit_log.verify(database, head)).wrong == []


@pytest.mark.parametrize(
    ("done", "told"),
    [
        *(
            (f"UPDATE audit_log SET {column} = 'x' WHERE seq = 4", "row 4 is not as it was written")
            for column in ("who", "what", "whom", "origin", "result", "detail")
        ),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE seq = 4", "row 4 is not as it was written"),
        ("UPDATE audit_log SET hash = sha256('x') WHERE seq = 4", "row 4 is not as it was written"),
        ("DELETE FROM audit_log WHERE seq = 4", "row 4 is missing"),
        ("DELETE FROM audit_log WHERE seq BETWEEN 4 AND 6", "rows 4 to 6 are missing"),
        ("DELETE FROM audit_log WHERE seq = 1", "row 1 is missing"),
        ("DELETE FROM audit_log WHERE seq > 8", "rows 9 to 10 are missing at the end"),
        ("DELETE FROM audit_log", "rows 1 to 10 are missing at the end"),
        ("DELETE FROM audit_head", "audit_head is gone"),
        ("UPDATE audit_head SET seq = 7", "audit_head says that row 7 is the last"),
    ],
)
async def test_what_was_done_behind_the_triggers_is_found(database: Database, done: str, told: str) -> None:
    await ten(database)
    await behind_the_triggers(database, done)
    assert any(told in wrong for wrong in (await audit_log.verify(database)).wrong)


async def test_rows_that_changed_places_are_found(database: Database) -> None:
    await ten(database)
    swap = "UPDATE audit_log SET seq = {} WHERE seq = {}".format
    await behind_the_triggers(database, swap(0, 4), swap(4, 5), swap(5, 0))
    assert len((await audit_log.verify(database)).wrong) >= 2


async def test_a_tail_cut_with_its_head_is_found_by_a_head_kept_elsewhere(database: Database) -> None:
    kept = await ten(database)
    await behind_the_triggers(
        database,
        "DELETE FROM audit_log WHERE seq > 8",
        "UPDATE audit_head SET seq = 8, hash = (SELECT hash FROM audit_log WHERE seq = 8)",
    )
    assert (await audit_log.verify(database)).wrong == []
    assert "rows 9 to 10 are missing at the end" in (await audit_log.verify(database, kept)).wrong[0]
    await append(database, Entry("x", "x"), Entry("x", "x"), Entry("x", "x"))
    assert "row 10 is another" in (await audit_log.verify(database, kept)).wrong[0]


async def test_the_command_tells_the_head_and_what_is_wrong(database: Database, postgres_url: str) -> None:
    run: Callable[..., Result] = lambda *more: CliRunner().invoke(app, ["verify", "--postgres", postgres_url, *more])  # noqa: E731
    head = await ten(database)
    good = await asyncio.to_thread(run, "--head", str(head))
    assert (good.exit_code, good.output.strip()) == (0, f"10 rows; head {head}")
    await behind_the_triggers(database, "DELETE FROM audit_log WHERE seq = 4")
    bad = await asyncio.to_thread(run)
    assert (bad.exit_code, "row 4 is missing" in bad.output) == (1, True)
    assert (await asyncio.to_thread(run, "--head", "7:abc")).exit_code == 2


async def test_what_waits_is_written_in_order_and_the_same_once(database: Database) -> None:
    log = Recorder(database)
    await log.start()
    for number in range(3):
        log.note(Entry("aoi", f"n{number}"))
        log.seen(Entry("aoi", "read", "student:s1"))

    async def written() -> bool:
        return len(await database.fetch("SELECT 1 FROM audit_log")) == 4

    await eventually(written, 20, "it is written")
    await log.stop()
    rows = await database.fetch("SELECT what FROM audit_log ORDER BY seq")
    assert [row["what"] for row in rows] == ["n0", "read", "n1", "n2"]


async def test_while_postgresql_is_away_reads_wait_and_what_must_be_first_is_refused(
    database: Database, postgres_url: str
) -> None:
    away = Database(postgres_url)
    log = Recorder(away)
    await log.start()
    for _ in range(recorder.QUEUED_MAX + 7):
        log.note(Entry("aoi", "read"))
    with pytest.raises(DatabaseAwayError):
        await log.first(Entry("aoi", "order"))
    await away.start()
    await log.stop()
    await away.stop()
    rows = await database.fetch("SELECT what, detail, count(*) AS n FROM audit_log GROUP BY 1, 2 ORDER BY 1")
    assert [tuple(row) for row in rows] == [("audit.lost", "7 rows", 1), ("read", "", recorder.QUEUED_MAX)]
    assert (await audit_log.verify(database)).wrong == []


def test_a_head_is_read_as_it_is_told() -> None:
    head = Head(7, bytes(range(32)))
    assert Head.parse(str(head)) == head
    assert re.fullmatch(r"7:[0-9a-f]{64}", str(head))
    for text in ("", "7", "7:ab", "x:" + "0" * 64, "7:" + "z" * 64):
        with pytest.raises(ValueError, match=r"head|hex"):
            Head.parse(text)
