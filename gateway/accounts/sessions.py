"""Log-ins that go on: a refresh token is good once, and gives the next. One shown twice was stolen, or its answer lost:
the whole session ends, because nobody can say which of the two is the thief. PostgreSQL holds digests only."""

import hashlib
import secrets
import uuid
from enum import StrEnum
from typing import NamedTuple

from gateway.accounts.people import COLUMNS, Account, account
from gateway.database import Connection, Database
from gateway.security import audit_log
from gateway.security.audit_log import Entry

SESSION_S = 14 * 86_400.0  # then one logs in again
IDLE_S = 86_400.0  # a refresh token not used for so long is over
KEPT_S = 7 * 86_400.0  # an ended session's rows stay, so that a stolen token is still found out


class End(StrEnum):
    UNKNOWN = "this refresh token is not known"
    ENDED = "this session is over: log in again"
    REUSED = "this refresh token was used before: the session is ended, log in again"


class Renewed(NamedTuple):
    account: Account
    refresh_token: str


async def begin(database: Database, of: Account, origin: str, how: str = "") -> str:
    """The first refresh token. `how`: for the audit log. Raises DatabaseAwayError."""
    session = uuid.uuid4()
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM sessions WHERE expires_at < now() - make_interval(secs => $1)", KEPT_S)
        await connection.execute(
            "INSERT INTO sessions (id, account_id, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))",
            session,
            of.id,
            SESSION_S,
        )
        token = await _token(connection, session)
        await audit_log.append(connection, [Entry(of.username, "login", origin=origin, detail=how)])
    return token


async def renew(database: Database, token: str, origin: str) -> Renewed | End:
    """Raises DatabaseAwayError, with nothing changed."""
    async with database.transaction() as connection:
        row = await connection.fetchrow(_FIND, _digest(token), IDLE_S)
        if row is None:
            return End.UNKNOWN
        if row["used"]:
            if row["live"]:
                await connection.execute("UPDATE sessions SET revoked_at = now() WHERE id = $1", row["session_id"])
            entry = Entry(row["username"], "refresh", origin=origin, result="refused", detail="token used twice")
            await audit_log.append(connection, [entry])
            return End.REUSED
        if not row["live"]:
            return End.ENDED
        await connection.execute("UPDATE refresh_tokens SET used_at = now() WHERE digest = $1", _digest(token))
        return Renewed(account(row), await _token(connection, row["session_id"]))


async def end(database: Database, token: str, origin: str) -> None:
    """Raises DatabaseAwayError."""
    async with database.transaction() as connection:
        row = await connection.fetchrow(_END, _digest(token))
        if row is not None:
            await audit_log.append(connection, [Entry(row["username"], "logout", origin=origin)])


async def _token(connection: Connection, session: uuid.UUID) -> str:
    token = secrets.token_urlsafe(32)
    await connection.execute("INSERT INTO refresh_tokens (digest, session_id) VALUES ($1, $2)", _digest(token), session)
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


# Locked, so that of two who show the same token at once the second sees that it was used.
_FIND = f"""
SELECT refresh_tokens.session_id, used_at IS NOT NULL AS used,
    sessions.revoked_at IS NULL AND accounts.revoked_at IS NULL AND expires_at > now()
        AND refresh_tokens.created_at > now() - make_interval(secs => $2) AS live,
    {COLUMNS}
FROM refresh_tokens JOIN sessions ON sessions.id = session_id JOIN accounts ON accounts.id = sessions.account_id
WHERE digest = $1 FOR UPDATE OF refresh_tokens, sessions
"""  # noqa: S608 -- constants
_END = """
UPDATE sessions SET revoked_at = now() FROM refresh_tokens, accounts
WHERE digest = $1 AND sessions.id = session_id AND accounts.id = account_id AND sessions.revoked_at IS NULL
RETURNING username
"""
