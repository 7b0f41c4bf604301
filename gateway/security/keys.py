"""API keys of event producers and of admins: made, checked, revoked. PostgreSQL holds a digest, never the key.

The digest is a plain SHA-256, not argon2: slow hashes protect what people choose and others can guess. A key is 256
random bits, so there is nothing to guess, and a door that takes thousands of requests a second cannot spend 50 ms of
CPU on each.
"""

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg
import structlog

from gateway.database import Database, DatabaseAwayError
from gateway.security import audit_log
from gateway.security.audit_log import Entry
from wire.events import ID_MAX

log = structlog.get_logger(__name__)

KEY_BYTES = 32
MARK = "cp_"  # lets people and secret scanners see what it is
PREFIX_CHARS = 8  # shown in lists: 5 characters of the key say which one it is, and leave 226 bits
FRESH_S = 30.0  # a revoked key is good for so long at most, while PostgreSQL answers
KEPT_S = 600.0  # and for so long while PostgreSQL is away: lessons outlast a restart
RETRY_S = 5.0  # with PostgreSQL away a known key does not wait for it again before this
REMEMBERED_MAX = 4_096  # producers; the one not seen for longest is forgotten, which costs a question
ANSWER_TIMEOUT_S = 1.5  # the door answers within 5 s, and Kafka is to have 3 of them

# A key's name is the `source` of its events, and what `keys revoke` is told: easy to type and to print.
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{ID_MAX - 1}}}")


# As the table has it too: what lies there can be read without a thought.
_RATE = re.compile(r"[1-9][0-9]{0,9}/(second|minute|hour|day)(;[1-9][0-9]{0,9}/(second|minute|hour|day))*")


class KeyNameError(ValueError):
    """The name cannot be given; the message says why."""


class KeyRateError(ValueError):
    """The rate cannot be read; the message says why."""


class Role(StrEnum):
    """A key has one, so that what sends events all day, from many machines, can do nothing else."""

    PRODUCER = "producer"  # sends events
    ADMIN = "admin"  # looks after what became of them


@dataclass(frozen=True)
class ApiKey:
    name: str
    prefix: str
    role: Role
    courses: frozenset[str] | None  # None: all
    created_at: datetime
    revoked_at: datetime | None
    rate: str | None = None  # of its events, where it is not everybody's

    def may_send(self, course_id: str) -> bool:
        return self.courses is None or course_id in self.courses


def check_rate(rate: str) -> None:
    """Raises KeyRateError."""
    if not _RATE.fullmatch(rate):
        raise KeyRateError(
            f"{rate!r} is no rate: expected a number per second, minute, hour or day, like 6000/minute; or several, "
            "separated by ';'"
        )


async def create(
    database: Database,
    name: str,
    courses: Sequence[str] = (),
    *,
    role: Role = Role.PRODUCER,
    rate: str | None = None,
    replace: bool = False,
    by: str = "classpulse",
) -> str:
    """The new key; nobody can show it again. No `courses`: all of them. No `rate`: the gateway's. `replace` revokes the
    one of that name.

    Raises KeyNameError, KeyRateError, DatabaseAwayError.
    """
    if not _NAME.fullmatch(name):
        raise KeyNameError(
            f"{name!r} is no name for a key: 1 to {ID_MAX} of letters, digits, '.', '_', '-', first a letter or digit"
        )
    if rate is not None:
        check_rate(rate)
    key = MARK + secrets.token_urlsafe(KEY_BYTES)
    try:
        async with database.transaction() as connection:
            if replace:
                await connection.execute(_REVOKE, name)
            await connection.execute(
                "INSERT INTO api_keys (name, digest, prefix, role, courses, rate) VALUES ($1, $2, $3, $4, $5, $6)",
                name,
                _digest(key),
                key[:PREFIX_CHARS],
                role.value,
                sorted(set(courses)) or None,
                rate,
            )
            told = " ".join([role, *sorted(set(courses))])
            await audit_log.append(connection, [Entry(by, "key.create", f"key:{name}", detail=told)])
    except asyncpg.UniqueViolationError:
        raise KeyNameError(f"there is a key named {name!r} already: revoke it, or choose another name") from None
    return key


async def revoke(database: Database, name: str, by: str = "classpulse") -> bool:
    """Whether there was a live key of that name. Raises DatabaseAwayError."""
    async with database.transaction() as connection:
        found = bool(await connection.fetch(f"{_REVOKE} RETURNING 1", name))
        if found:
            await audit_log.append(connection, [Entry(by, "key.revoke", f"key:{name}")])
    return found


async def listed(database: Database) -> list[ApiKey]:
    """Revoked ones too, oldest first. Raises DatabaseAwayError."""
    return [_api_key(row) for row in await database.fetch(_LIST)]


async def find(database: Database, key: str) -> ApiKey | None:
    """The live key behind what was presented. Raises DatabaseAwayError."""
    rows = await database.fetch(_FIND, _digest(key), timeout_s=ANSWER_TIMEOUT_S)
    return _api_key(rows[0]) if rows else None


_SELECT = "SELECT name, prefix, role, courses, created_at, revoked_at, rate FROM api_keys"
_LIST = f"{_SELECT} ORDER BY id"
_FIND = f"{_SELECT} WHERE digest = $1 AND revoked_at IS NULL"
_REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _api_key(row: asyncpg.Record) -> ApiKey:
    courses = None if row["courses"] is None else frozenset(row["courses"])
    role = Role(row["role"])
    return ApiKey(row["name"], row["prefix"], role, courses, row["created_at"], row["revoked_at"], row["rate"])


@dataclass
class _Known:
    key: ApiKey
    checked: float  # when PostgreSQL last said it is good
    ask_again: float


class KeyRing:
    """The keys seen lately, so that neither each request nor an outage of PostgreSQL asks for each of them.

    Only good keys are remembered: strangers with made-up ones cannot push them out, and a new key works at once.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._away = False

    def knows(self, key: str) -> bool:
        """Whether it was found good lately, and not found otherwise since."""
        return _digest(key) in self._known

    async def verify(self, key: str) -> ApiKey | None:
        """None: nobody's. Raises DatabaseAwayError where it cannot be told, within ANSWER_TIMEOUT_S."""
        digest, now = _digest(key), self._clock()
        known = self._known.get(digest)
        if known is not None and now < known.ask_again:
            self._known.move_to_end(digest)
            return known.key
        try:
            found = await find(self._database, key)
        except DatabaseAwayError as error:
            if not self._away:  # said once an outage
                log.warning("keys cannot be checked; those checked lately stay good", reason=str(error))
                self._away = True
            if known is None or now > known.checked + KEPT_S:
                raise
            known.ask_again = now + RETRY_S
            return known.key
        if self._away:
            log.info("keys are checked again")
            self._away = False
        self._known.pop(digest, None)
        if found is not None:
            self._known[digest] = _Known(found, now, now + FRESH_S)
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return found
