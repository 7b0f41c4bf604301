"""The audit log in PostgreSQL: who did what, to whom, from where, and with which result.

Rows are only added (triggers refuse anything else), and each holds a SHA-256 over itself and the row before it. So
whoever goes round the triggers and changes, inserts or removes a row breaks the chain, unless he writes all that
follows anew; against that, and against a tail cut off together with `audit_head`, helps a head that was kept elsewhere.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from gateway.database import Connection, Database

CHUNK = 5_000  # rows read at once
FOUND_MAX = 100  # wrong rows told
TEXT_MAX = 500  # characters of each field: some are what a stranger typed
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Entry(NamedTuple):
    who: str  # an account, a key as `key:NAME`, or `cli:USER`
    what: str
    whom: str = ""
    origin: str = ""  # address
    result: str = "done"
    detail: str = ""


class Head(NamedTuple):
    """The last row, as `SEQ:HASH`."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Raises ValueError."""
        seq, _, digest = text.partition(":")
        if not (seq.isascii() and seq.isdigit() and len(digest) == 64):
            raise ValueError(f"{text!r} is no head: expected NUMBER:64 hexadecimal digits, as `audit verify` tells it")
        return cls(int(seq), bytes.fromhex(digest))


NONE = Head(0, bytes(32))


class Verdict(NamedTuple):
    rows: int
    head: Head
    wrong: list[str]  # the first FOUND_MAX


async def append(connection: Connection, entries: Sequence[Entry]) -> Head:
    """In a transaction of the caller's, whose other writes are kept with it or not at all; until its end other writers
    wait. The head after it."""
    held = await connection.fetchrow("SELECT seq, hash FROM audit_head FOR UPDATE")
    head = Head(held["seq"], held["hash"])
    at = (await connection.fetchrow("SELECT clock_timestamp() AS at"))["at"]
    rows = []
    for entry in entries:
        bounded = Entry(*(_bounded(text) for text in entry))
        head = _next(head, at, bounded)
        rows.append((head.seq, at, *bounded, head.hash))
    await connection.executemany("INSERT INTO audit_log VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", rows)
    if rows:
        await connection.execute("UPDATE audit_head SET seq = $1, hash = $2", *head)
    return head


async def write(database: Database, entry: Entry) -> None:
    """By itself. Raises DatabaseAwayError."""
    async with database.transaction() as connection:
        await append(connection, [entry])


async def about(connection: Connection, who: Sequence[str], whom: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of what these did, or what was done to those."""
    return [dict(row) for row in await connection.fetch(_ABOUT, list(who), list(whom))]


async def verify(database: Database, kept: Head | None = None) -> Verdict:
    """Reads all of it, as of one moment. `kept`: a head it had before. Raises DatabaseAwayError."""
    head, rows, wrong = NONE, 0, _Wrong()
    async with database.transaction(readonly=True) as connection:
        told = await connection.fetchrow("SELECT seq, hash FROM audit_head")
        async for row in _rows(connection):
            rows += 1
            before = head
            if row["seq"] != head.seq + 1:
                wrong.add(f"{_span(head.seq + 1, row['seq'] - 1)} missing")
                before = Head(row["seq"] - 1, b"")  # unknown: the next one is judged by this one's hash
            elif _next(before, row["at"], Entry(*(row[name] for name in Entry._fields))).hash != row["hash"]:
                wrong.add(f"row {row['seq']} is not as it was written, or the one before it is not")
            head = Head(row["seq"], row["hash"])
            if kept is not None and head.seq == kept.seq and head.hash != kept.hash:
                wrong.add(f"row {head.seq} is another than the one whose head was kept")
    if told is None:
        wrong.add("audit_head is gone")
    elif told["seq"] > head.seq:
        wrong.add(f"{_span(head.seq + 1, told['seq'])} missing at the end")
    elif (told["seq"], told["hash"]) != head:
        wrong.add(f"audit_head says that row {told['seq']} is the last, and is not as row {head.seq} is")
    if kept is not None and kept.seq > head.seq:
        wrong.add(f"{_span(head.seq + 1, kept.seq)} missing at the end: a head that was kept says so")
    return Verdict(rows, head, wrong.found)


_ABOUT = """
SELECT seq, at, who, what, whom, origin, result, detail FROM audit_log
WHERE who = ANY($1::text[]) OR whom = ANY($2::text[]) ORDER BY seq
"""


class _Wrong:
    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, what: str) -> None:
        if len(self.found) < FOUND_MAX:
            self.found.append(what)


async def _rows(connection: Connection) -> AsyncIterator[Any]:
    last = -1
    while rows := await connection.fetch("SELECT * FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2", last, CHUNK):
        for row in rows:
            yield row
        last = rows[-1]["seq"]


def _next(before: Head, at: datetime, entry: Entry) -> Head:
    seq, at_us = before.seq + 1, (at - _EPOCH) // timedelta(microseconds=1)
    content = json.dumps([seq, at_us, *entry], separators=(",", ":"))
    return Head(seq, hashlib.sha256(before.hash + content.encode()).digest())


def _bounded(text: str) -> str:
    """As PostgreSQL takes it: no NUL, no lone surrogate."""
    return text[:TEXT_MAX].replace("\0", "\ufffd").encode(errors="replace").decode()


def _span(first: int, last: int) -> str:
    return f"row {first} is" if first == last else f"rows {first} to {last} are"
