"""Which account an identity of an OpenID provider is. Nobody gets an account by logging in: an admin says of an account
as what the provider knows its owner (`link`), and the first who comes as that is its owner from then on, by the `sub`
that a provider gives to one person only. A name or an address that is given to somebody else later opens nothing."""

from typing import Literal, NamedTuple, get_args

import asyncpg

from gateway.accounts.people import COLUMNS, END_SESSIONS, Account, AccountError, account, audited, locked
from gateway.database import Database
from gateway.security import audit_log
from gateway.security.audit_log import Entry

Claim = Literal["sub", "email", "preferred_username"]
CLAIMS: tuple[Claim, ...] = get_args(Claim)
LENGTH_MAX = 255  # of a `sub`, as OpenID Connect has it


class Identity(NamedTuple):
    """As a good ID token says it."""

    issuer: str
    subject: str
    claim: Claim
    known_as: str | None  # what `claim` says; None: nothing that can be believed


def folded(claim: Claim, value: str) -> str:
    """As it is kept and compared: nobody has two addresses that differ in case."""
    return value.lower() if claim == "email" else value


def sound(text: str) -> bool:
    return 0 < len(text) <= LENGTH_MAX and text.isprintable()


async def link(database: Database, username: str, issuer: str, claim: Claim, known_as: str, *, by: str) -> None:
    """Instead of what it was linked to; ends its sessions. Raises AccountError, DatabaseAwayError."""
    if not sound(known_as):
        raise AccountError(f"as what the provider knows one has 1 to {LENGTH_MAX} printable characters")
    try:
        async with database.transaction() as connection:
            row = await locked(connection, username)
            await connection.execute("DELETE FROM identities WHERE account_id = $1", row["id"])
            await connection.execute(_LINK, row["id"], issuer, claim, folded(claim, known_as))
            await connection.execute(END_SESSIONS, row["id"])
            await audited(connection, by, "account.link", username, f"{issuer} {claim}={known_as}")
    except asyncpg.UniqueViolationError:
        raise AccountError(f"another account is linked to {claim} {known_as!r} already") from None


async def unlink(database: Database, username: str, *, by: str) -> None:
    """Ends its sessions. Raises AccountError, DatabaseAwayError."""
    async with database.transaction() as connection:
        row = await locked(connection, username)
        await connection.execute("DELETE FROM identities WHERE account_id = $1", row["id"])
        await connection.execute(END_SESSIONS, row["id"])
        await audited(connection, by, "account.unlink", username, "")


async def find(database: Database, identity: Identity, origin: str) -> Account | None:
    """Who it is, met now for the first time or known; None: nobody who may log in. Raises DatabaseAwayError."""
    who = (identity.issuer, identity.subject)
    async with database.transaction() as connection:
        if identity.known_as is not None:
            met = await connection.fetchrow(_MEET, *who, identity.claim, identity.known_as)
            if met is not None:
                entry = Entry(met["username"], "account.meet", origin=origin, detail=" ".join(who))
                await audit_log.append(connection, [entry])
        row = await connection.fetchrow(_FIND, *who)
    return None if row is None else account(row)


_LINK = "INSERT INTO identities (account_id, issuer, claim, known_as) VALUES ($1, $2, $3, $4)"
_MEET = """
UPDATE identities SET subject = $2, met_at = now() FROM accounts
WHERE issuer = $1 AND claim = $3 AND known_as = $4 AND subject IS NULL
    AND accounts.id = account_id AND accounts.revoked_at IS NULL
    AND NOT EXISTS (SELECT FROM identities WHERE issuer = $1 AND subject = $2)
RETURNING username
"""
_FIND = f"""
SELECT {COLUMNS} FROM identities JOIN accounts ON accounts.id = account_id
WHERE issuer = $1 AND subject = $2 AND accounts.revoked_at IS NULL
"""  # noqa: S608 -- constants
