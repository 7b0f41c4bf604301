"""Statements in PostgreSQL: kept before they are acknowledged, found again by what is in them. The only SQL of both.

Whoever keeps some holds a lock until its transaction ends. So `seq` and `stored` grow in the order in which statements
become visible: a page that begins behind the one before misses nothing, and what was stored before a moment at which
nobody wrote is there. Voided is a statement while another, which came by the same key, says so; that is looked at when
it is read, so it does not matter which of them came first.
"""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gateway.database import Connection, Database, DatabaseAwayError
from gateway.ingest.xapi.adapter import ConflictError
from gateway.statements.query import Many
from gateway.statements.record import Record, whole

LOCK = 0x7374_6174_656D_656E  # any number that is only ours: "statemen"
WRITE_WITHIN_S = 3.0  # Kafka is to have as long after it
READS_AT_ONCE = 4  # of the pool's connections, which the door needs too
PAGE_BYTES = 4 * 2**20
STEPS_MAX = 10  # from a statement to the one that it refers to, and on: no chain is to cost without bound


class ForbiddenError(Exception):
    """A statement would void what came by another key."""


class Kept(NamedTuple):
    """A statement as it is answered in `exact`, where it lies, and since when."""

    seq: int
    body: bytes
    stored: datetime


class Page(NamedTuple):
    statements: list[Kept]
    more: bool
    last: int  # the place at which it ends
    through: datetime  # all that was stored before it was looked at


class Statements:
    def __init__(self, database: Database) -> None:
        """`database` is started and stopped by whoever made it."""
        self._database = database
        self._turn = asyncio.Lock()  # one connection of ours waits for PostgreSQL's lock, and not all of them
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._writing: set[asyncio.Task[datetime]] = set()

    async def keep(self, records: Sequence[Record], source: str) -> datetime:
        """All or none; what is there already stays as it is. The time up to which all that was stored can be read.

        Raises ConflictError, ForbiddenError, and DatabaseAwayError within WRITE_WITHIN_S: they may be kept all the
        same, and can be sent again.
        """
        writing = asyncio.create_task(self._keep(records, source))
        self._writing.add(writing)
        writing.add_done_callback(self._done)
        if not (await asyncio.wait({writing}, timeout=WRITE_WITHIN_S))[0]:
            writing.cancel()  # undoing takes its time, and nobody waits for that
            raise DatabaseAwayError(f"statements were not kept within {WRITE_WITHIN_S:g} s")
        return writing.result()

    async def one(self, statement_id: uuid.UUID, *, voided: bool) -> Kept | None:
        """Only where it is voided, or only where it is not. Raises DatabaseAwayError."""
        async with self._reads:
            rows = await self._database.fetch(_ONE, statement_id, voided)
        return _kept(rows[0]) if rows else None

    async def page(self, asked: Many) -> Page:
        """Raises DatabaseAwayError."""
        sql, arguments = _question(asked)
        async with self._reads:
            through = await self.through()
            found = await self._database.fetch(sql, *arguments)
            places: list[int] = []
            size = 0
            for row in found[: asked.limit]:
                size += row["bytes"]
                if places and size > PAGE_BYTES:
                    break
                places.append(row["seq"])
            rows = await self._database.fetch(_BODIES, places) if places else []
        by_place = {row["seq"]: _kept(row) for row in rows}
        kept = [by_place[seq] for seq in places if seq in by_place]  # the others were erased meanwhile
        return Page(kept, len(places) < len(found), places[-1] if places else 0, through)

    async def through(self) -> datetime:
        """Waits for who writes now. Raises DatabaseAwayError."""
        rows = await self._database.fetch(_THROUGH, LOCK)
        at: datetime = rows[0]["at"]
        return at

    async def _keep(self, records: Sequence[Record], source: str) -> datetime:
        async with self._turn, self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            new = await _new(connection, records)
            await _check_voids(connection, new, source)
            at: datetime = (await connection.fetchrow(_NOW))["at"]
            if new:
                await _insert(connection, new, source, at)
        return at

    def _done(self, writing: "asyncio.Task[datetime]") -> None:
        self._writing.discard(writing)
        if not writing.cancelled():
            writing.exception()  # told already, to whoever waited


async def _new(connection: Connection, records: Sequence[Record]) -> list[Record]:
    """Each id once. Raises ConflictError."""
    there = {row["id"]: row for row in await connection.fetch(_THERE, [record.id for record in records])}
    new: dict[uuid.UUID, Record] = {}
    for index, record in enumerate(records):
        before = there.get(record.id)
        if before is None:
            new.setdefault(record.id, record)
            continue
        times = {before["happened_us"], record.happened_us} - {None}
        if before["digest"] != record.digest or len(times) > 1:
            raise ConflictError(f"statement {index}: another one is stored under its id, {record.id}")
    return list(new.values())


async def _check_voids(connection: Connection, new: Sequence[Record], source: str) -> None:
    targets = [record.refers for record in new if record.voids]
    if targets and (others := await connection.fetch(_OTHERS, targets, source)):
        raise ForbiddenError(f"statement {others[0]['id']} came by another key: only that one's may void it")


async def _insert(connection: Connection, new: Sequence[Record], source: str, at: datetime) -> None:
    ids = [record.id for record in new]
    await connection.execute(
        _INSERT,
        source,
        at,
        ids,
        [record.happened_us for record in new],
        [record.digest for record in new],
        [record.refers for record in new],
        [record.voids for record in new],
        [record.body for record in new],
    )
    pairs = [(record.id, facet) for record in new for facet in record.found_by]
    await connection.execute(_FACETS, [each for each, _ in pairs], [facet for _, facet in pairs])
    people = [(record.id, student) for record in new for student in record.students]
    await connection.execute(_STUDENTS, [each for each, _ in people], [student for _, student in people])
    if any(record.refers for record in new) or await connection.fetch(_REFERRED, ids):
        await connection.execute(_INHERIT, ids, STEPS_MAX)


def _question(asked: Many) -> tuple[str, list[Any]]:
    """The places of a page and one more, with their sizes. Everything is a range of `seq`, told of each table, so that
    whichever index is read in order is read no further than the page goes."""
    arguments: list[Any] = []

    def given(value: object) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    joins = [
        f"JOIN statement_facets f{number} ON f{number}.seq = s.seq AND f{number}.facet = {given(facet)}"
        for number, facet in enumerate(asked.facets)
    ]
    bounds = []
    if asked.since is not None:
        bounds.append(f"> {_PLACE_OF.format(given(asked.since))}")
    if asked.until is not None:
        bounds.append(f"<= {_PLACE_OF.format(given(asked.until))}")
    if asked.after is not None:
        bounds.append(f"{'>' if asked.ascending else '<'} {given(asked.after)}")
    tables = ["s", *(f"f{number}" for number in range(len(joins)))]
    wanted = [f"NOT {_VOIDED}", *(f"{table}.seq {bound}" for table in tables for bound in bounds)]
    order = f"{tables[-1]}.seq {'ASC' if asked.ascending else 'DESC'}"
    sql = (  # of constants and numbers of arguments
        f"SELECT s.seq, octet_length(s.body) AS bytes FROM statements s {' '.join(joins)} "  # noqa: S608
        f"WHERE {' AND '.join(wanted)} ORDER BY {order} LIMIT {given(asked.limit + 1)}"
    )
    return sql, arguments


def _kept(row: Any) -> Kept:
    return Kept(row["seq"], whole(row["body"], row["stored"], row["happened_us"]), row["stored"])


# What voids a statement cannot be voided.
_VOIDED = """(NOT s.voids AND EXISTS (
    SELECT FROM statements v WHERE v.refers = s.id AND v.voids AND v.source = s.source))"""
_PLACE_OF = """coalesce((
    SELECT b.seq FROM statements b WHERE b.stored <= {} ORDER BY b.stored DESC, b.seq DESC LIMIT 1), 0)"""
_ONE = f"""
SELECT seq, body, stored, happened_us FROM statements s WHERE id = $1 AND {_VOIDED} = $2
"""  # noqa: S608 -- constants
_BODIES = "SELECT seq, body, stored, happened_us FROM statements WHERE seq = ANY($1::bigint[])"
_THERE = "SELECT id, digest, happened_us FROM statements WHERE id = ANY($1::uuid[])"
_OTHERS = "SELECT id FROM statements WHERE id = ANY($1::uuid[]) AND source <> $2 AND NOT voids LIMIT 1"
_REFERRED = "SELECT FROM statements WHERE refers = ANY($1::uuid[]) LIMIT 1"
# After the last one, even where the server's clock was set back.
_NOW = """
SELECT greatest(clock_timestamp(), (SELECT max(stored) FROM statements) + interval '1 microsecond') AS at
"""
_THROUGH = """
WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($1)) SELECT clock_timestamp() AS at FROM held
"""
_INSERT = """
INSERT INTO statements (id, stored, source, happened_us, digest, refers, voids, body)
SELECT id, $2::timestamptz, $1, happened_us, digest, refers, voids, body
FROM unnest($3::uuid[], $4::bigint[], $5::bytea[], $6::uuid[], $7::boolean[], $8::bytea[])
    WITH ORDINALITY AS given (id, happened_us, digest, refers, voids, body, place)
ORDER BY place
"""
_FACETS = """
INSERT INTO statement_facets (facet, seq)
SELECT facet, seq FROM unnest($1::uuid[], $2::bytea[]) AS given (id, facet) JOIN statements USING (id)
"""
_STUDENTS = """
INSERT INTO statement_students (student_id, seq)
SELECT student_id, seq FROM unnest($1::uuid[], $2::text[]) AS given (id, student_id) JOIN statements USING (id)
"""
# Whatever finds a statement finds those that refer to it too, whichever came first.
_INHERIT = """
WITH RECURSIVE up (seq, id, steps) AS (
    SELECT seq, id, 0 FROM statements WHERE id = ANY($1::uuid[])
    UNION
    SELECT s.seq, s.id, steps + 1 FROM up JOIN statements s ON s.refers = up.id WHERE steps < $2
), down (seq, refers, steps) AS (
    SELECT DISTINCT s.seq, s.refers, 1 FROM up JOIN statements s USING (seq) WHERE s.refers IS NOT NULL
    UNION
    SELECT down.seq, t.refers, steps + 1 FROM down JOIN statements t ON t.id = down.refers
    WHERE t.refers IS NOT NULL AND steps < $2
)
INSERT INTO statement_facets (facet, seq)
SELECT DISTINCT f.facet, down.seq
FROM down JOIN statements t ON t.id = down.refers JOIN statement_facets f ON f.seq = t.seq
ON CONFLICT DO NOTHING
"""
