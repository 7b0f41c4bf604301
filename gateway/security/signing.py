"""The keys that sign access tokens: Ed25519, each derived (HKDF) from CLASSPULSE_SECRET_KEY and its `kid`.

PostgreSQL says which there are, and has their public halves only: who reads it can forge nothing. All gateways of one
database and one secret sign and check alike. A key signs for ROTATE_AFTER_S; then whichever gateway notices makes
another, and the old one is good for what it has signed until OVERLAP_S later.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import structlog
from joserfc.jwk import KeyParameters, OKPKey

from gateway.database import Connection, Database, DatabaseAwayError
from gateway.security import audit_log
from gateway.security.audit_log import Entry

log = structlog.get_logger(__name__)

ALGORITHM: Final = "Ed25519"  # EdDSA by its name of RFC 9864, which says what "EdDSA" left open
ROTATE_AFTER_S = 30 * 86_400.0
OVERLAP_S = 3_600.0  # an access token lives for a quarter of it
FRESH_S = 60.0  # a key that was retired is good for so long at most, while PostgreSQL answers
ASK_AGAIN_S = 2.0  # made-up `kid`s do not ask PostgreSQL more often
ANSWER_TIMEOUT_S = 1.5
_LOCK = 0x636C_7075_6C73_6B65  # any number that is only ours


class SigningKey(NamedTuple):
    kid: str
    created_s: float  # epoch
    key: OKPKey


class SigningKeys:
    def __init__(self, database: Database, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._secret = secret
        self._clock = clock
        self._keys: dict[str, SigningKey] = {}
        self._read_s = -math.inf
        self._reading = asyncio.Lock()
        self._away: DatabaseAwayError | None = None

    async def newest(self) -> SigningKey:
        """To sign with; made where there is none, or none young enough. Raises DatabaseAwayError."""
        await self._refresh(FRESH_S)
        newest = max(self._keys.values(), key=lambda key: key.created_s, default=None)
        if newest is None or self._clock() - newest.created_s > ROTATE_AFTER_S:
            await self.rotate(unless_younger_than_s=ROTATE_AFTER_S)
            newest = max(self._keys.values(), key=lambda key: key.created_s)
        return newest

    async def of(self, kid: str) -> OKPKey | None:
        """To check with; None: none of ours. Raises DatabaseAwayError where that cannot be told."""
        await self._refresh(FRESH_S)
        if kid not in self._keys:
            await self._refresh(ASK_AGAIN_S)
        found = self._keys.get(kid)
        if found is None and self._away is not None:  # it may be a new one
            raise self._away
        return None if found is None else found.key

    async def public(self) -> list[dict[str, Any]]:
        """As JWKs. Raises DatabaseAwayError."""
        await self._refresh(FRESH_S)
        return [dict(key.key.as_dict(private=False)) for key in self._keys.values()]

    async def rotate(
        self, *, unless_younger_than_s: float = 0.0, overlap_s: float = OVERLAP_S, by: str = "classpulse"
    ) -> str:
        """A new key signs from now on; its `kid`. `overlap_s` 0: what older ones have signed ends at once. Raises
        DatabaseAwayError."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            usable = self._usable(await connection.fetch(_LIVE, self._clock()))
            young = [key.kid for key in usable if self._clock() - key.created_s < unless_younger_than_s]
            kid = young[0] if young else await self._make(connection, overlap_s)
            if not young:
                await audit_log.append(connection, [Entry(by, "signing_key.create", kid)])
        await self._refresh(0.0)
        return kid

    async def _make(self, connection: Connection, overlap_s: float) -> str:
        kid, now_s = secrets.token_hex(8), self._clock()
        await connection.execute(
            "UPDATE signing_keys SET retired_at = least(retired_at, to_timestamp($1))", now_s + overlap_s
        )
        await connection.execute(
            "INSERT INTO signing_keys (kid, public, created_at) VALUES ($1, $2, to_timestamp($3))",
            kid,
            self._derived(kid).as_dict(private=False)["x"],
            now_s,
        )
        return kid

    async def _refresh(self, fresh_s: float) -> None:
        """While PostgreSQL is away the keys read last stay good. Raises DatabaseAwayError where there are none."""
        async with self._reading:  # many at once ask once
            now_s = self._clock()
            if now_s - self._read_s >= (fresh_s if self._keys else min(fresh_s, ASK_AGAIN_S)):
                await self._read(now_s)
        if self._away is not None and not self._keys:
            raise self._away

    async def _read(self, now_s: float) -> None:
        try:
            rows = await self._database.fetch(_LIVE, now_s, timeout_s=ANSWER_TIMEOUT_S)
        except DatabaseAwayError as error:
            if self._away is None:  # said once an outage
                log.warning("signing keys cannot be read; those read last stay good", reason=str(error))
            self._away = error
        else:
            self._keys = {key.kid: key for key in self._usable(rows)}
            self._away = None
        self._read_s = now_s

    def _usable(self, rows: list[Any]) -> list[SigningKey]:
        """Without those of another secret; the newest first."""
        keys = [(row, self._derived(row["kid"])) for row in rows]
        good = [(row, key) for row, key in keys if key.as_dict(private=False)["x"] == row["public"]]
        if len(good) < len(keys):
            log.warning("signing keys of another CLASSPULSE_SECRET_KEY are left out", keys=len(keys) - len(good))
        return [SigningKey(row["kid"], row["created_s"], key) for row, key in good]

    def _derived(self, kid: str) -> OKPKey:
        told: KeyParameters = {"kid": kid, "use": "sig", "alg": ALGORITHM}
        info = {"info": b"classpulse access tokens " + kid.encode()}
        return OKPKey.derive_key(self._secret, ALGORITHM, told, kdf_options=info)


_LIVE = """
SELECT kid, public, extract(epoch FROM created_at)::float8 AS created_s FROM signing_keys
WHERE retired_at IS NULL OR retired_at > to_timestamp($1) ORDER BY created_at DESC
"""
