"""Accounts in PostgreSQL: made, given courses, revoked. Names of people are there and nowhere else."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from gateway.accounts import passwords
from gateway.database import Connection, Database
from gateway.security import audit_log
from gateway.security.audit_log import Entry
from gateway.security.principal import Principal, Role

GRANTS_MAX_BYTES = 1_500  # of an account's courses and teams as JSON: they lie in its token, and that in a cookie
ANSWER_TIMEOUT_S = 2.0

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")

Grant = tuple[str, str]  # course, and team or "" for all of it


class AccountError(ValueError):
    """It cannot be done; the message says why."""


@dataclass(frozen=True)
class Account:
    id: int
    username: str
    display_name: str
    role: Role
    grants: frozenset[Grant]
    student_id: str | None
    password: str  # as Argon2id has it
    created_at: datetime
    revoked_at: datetime | None

    @property
    def principal(self) -> Principal:
        everything = self.role in (Role.ADMIN, Role.SRE)
        return Principal(
            self.username,
            self.role,
            None if everything else frozenset(course for course, team in self.grants if not team),
            frozenset(grant for grant in self.grants if grant[1]),
            self.student_id,
        )


async def create(
    database: Database,
    username: str,
    display_name: str,
    role: Role,
    password: str,
    grants: Iterable[Grant] = (),
    *,
    student_id: str | None = None,
    by: str,
) -> None:
    """Raises AccountError, DatabaseAwayError."""
    if not _USERNAME.fullmatch(username):
        raise AccountError(
            f"{username!r} is no user name: 1 to 64 of a-z, 0-9, '.', '_', '@', '-', first a letter or digit"
        )
    if (role is Role.STUDENT) != (student_id is not None):
        raise AccountError("a student's account, and no other, has the id of a student")
    hashed = await passwords.hashed(password)
    try:
        async with database.transaction() as connection:
            row = await connection.fetchrow(_CREATE, username, display_name, hashed, role.value, student_id)
            await _grant(connection, row["id"], role, grants)
            await audited(connection, by, "account.create", username, f"{role} {told(grants)}")
    except asyncpg.UniqueViolationError:
        raise AccountError(f"there is an account {username!r} already") from None


async def grant(database: Database, username: str, grants: Sequence[Grant], *, by: str) -> None:
    """In tokens from the next refresh on. Raises AccountError, DatabaseAwayError."""
    async with database.transaction() as connection:
        row = await locked(connection, username)
        await _grant(connection, row["id"], Role(row["role"]), grants)
        await audited(connection, by, "account.grant", username, told(grants))


async def revoke(database: Database, username: str, grants: Sequence[Grant], *, by: str) -> None:
    """These grants; none: the account, and its sessions with it. Raises AccountError, DatabaseAwayError."""
    async with database.transaction() as connection:
        row = await locked(connection, username)
        if grants:
            await connection.executemany(_UNGRANT, [(row["id"], *each) for each in grants])
            await audited(connection, by, "account.ungrant", username, told(grants))
        else:
            await connection.execute("UPDATE accounts SET revoked_at = now() WHERE id = $1", row["id"])
            await connection.execute(END_SESSIONS, row["id"])
            await audited(connection, by, "account.revoke", username, "")


async def set_password(database: Database, username: str, password: str, *, by: str) -> None:
    """Ends his sessions. Raises AccountError, DatabaseAwayError."""
    hashed = await passwords.hashed(password)
    async with database.transaction() as connection:
        row = await locked(connection, username)
        await connection.execute("UPDATE accounts SET password = $2 WHERE id = $1", row["id"], hashed)
        await connection.execute(END_SESSIONS, row["id"])
        await audited(connection, by, "account.password", username, "")


async def find(database: Database, username: str) -> Account | None:
    """None: nobody who may log in. Raises DatabaseAwayError."""
    if not _USERNAME.fullmatch(username):  # PostgreSQL would not take each of them
        return None
    rows = await database.fetch(
        f"{_SELECT} WHERE username = $1 AND revoked_at IS NULL", username, timeout_s=ANSWER_TIMEOUT_S
    )
    return account(rows[0]) if rows else None


async def listed(database: Database) -> list[Account]:
    """Revoked ones too. Raises DatabaseAwayError."""
    return [account(row) for row in await database.fetch(f"{_SELECT} ORDER BY username")]


async def of_student(connection: Connection, student_id: str) -> list[dict[str, Any]]:
    """His accounts, without their passwords, each with its sessions."""
    return [
        {**row, "sessions": [dict(each) for each in await connection.fetch(_SESSIONS, row["id"])]}
        for row in map(dict, await connection.fetch(_HIS_ACCOUNTS, student_id))
    ]


async def forget(connection: Connection, student_id: str) -> None:
    """His accounts with all that hangs on them. An access token is good until it expires."""
    his = "SELECT id FROM accounts WHERE student_id = $1"
    await connection.execute(f"DELETE FROM sessions WHERE account_id IN ({his})", student_id)  # noqa: S608 -- constants
    await connection.execute(f"DELETE FROM grants WHERE account_id IN ({his})", student_id)  # noqa: S608
    await connection.execute(f"DELETE FROM identities WHERE account_id IN ({his})", student_id)  # noqa: S608
    await connection.execute("DELETE FROM accounts WHERE student_id = $1", student_id)


def account(row: Any) -> Account:
    return Account(
        row["id"],
        row["username"],
        row["display_name"],
        Role(row["role"]),
        frozenset(tuple(each) for each in json.loads(row["grants"])),
        row["student_id"],
        row["password"],
        row["created_at"],
        row["revoked_at"],
    )


async def _grant(connection: Connection, account_id: int, role: Role, grants: Iterable[Grant]) -> None:
    wanted = list(grants)
    if wanted and role not in (Role.VIEWER, Role.TEACHER):
        raise AccountError(f"courses are given to viewers and teachers: the role {role} says all there is to see")
    await connection.executemany(
        "INSERT INTO grants VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", [(account_id, *each) for each in wanted]
    )
    held = await connection.fetch("SELECT course_id, team_id FROM grants WHERE account_id = $1", account_id)
    size = len(json.dumps([list(map(str, row.values())) for row in held]).encode())
    if size > GRANTS_MAX_BYTES:
        raise AccountError(f"too many courses and teams: as text {size} bytes, {GRANTS_MAX_BYTES} at most")


async def locked(connection: Connection, username: str) -> Any:
    row = await connection.fetchrow(
        "SELECT id, role FROM accounts WHERE username = $1 AND revoked_at IS NULL FOR UPDATE", username
    )
    if row is None:
        raise AccountError(f"there is no account {username!r}, or it was revoked")
    return row


async def audited(connection: Connection, by: str, what: str, whom: str, detail: str) -> None:
    await audit_log.append(connection, [Entry(by, what, whom, detail=detail.strip())])


def told(grants: Iterable[Grant]) -> str:
    return " ".join(f"{course}/{team}" if team else course for course, team in grants)


_CREATE = """
INSERT INTO accounts (username, display_name, password, role, student_id) VALUES ($1, $2, $3, $4, $5) RETURNING id
"""
_UNGRANT = "DELETE FROM grants WHERE account_id = $1 AND course_id = $2 AND team_id = $3"
_HIS_ACCOUNTS = """
SELECT id, username, display_name, role, student_id, accounts.created_at, revoked_at, issuer, known_as
FROM accounts LEFT JOIN identities ON account_id = id WHERE student_id = $1 ORDER BY id
"""
_SESSIONS = "SELECT created_at, expires_at, revoked_at FROM sessions WHERE account_id = $1 ORDER BY created_at"
END_SESSIONS = "UPDATE sessions SET revoked_at = now() WHERE account_id = $1 AND revoked_at IS NULL"
COLUMNS = """accounts.id, username, display_name, role, student_id, password, accounts.created_at, accounts.revoked_at,
    (SELECT coalesce(json_agg(json_build_array(course_id, team_id)), '[]')::text FROM grants
     WHERE account_id = accounts.id) AS grants"""
_SELECT = f"SELECT {COLUMNS} FROM accounts"  # noqa: S608 -- constants
