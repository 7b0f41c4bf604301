"""What the gateway tells the one on call, and the admin's key that it wants to see for it."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stack import answers
from stack.home import Home
from stack.secret import write_secret

TIMEOUT_S = 5.0  # the gateway gives each of its own questions less
POSTGRES_WAIT_S = 2.0
CHANGES = 5  # of the last hour, the newest
KEY_NAME = "classpulse-status"
_REFUSED = (401, 403)


@dataclass(frozen=True)
class Told:
    health: dict[str, Any] = field(default_factory=dict)  # empty: it does not answer
    system: dict[str, Any] = field(default_factory=dict)  # /api/v1/admin/system-status
    consumers: dict[str, Any] = field(default_factory=dict)
    refusal: str = ""  # why it does not tell the last two


class NoKeyError(Exception):
    """There is no admin's key; the message says why."""


class Desk:
    """Blocks while it asks, up to TIMEOUT_S for each of a few questions. Raises nothing."""

    def __init__(self, url: str, key_file: Path | None, home: Home, postgres_url: str) -> None:
        """`url` ends with a slash. `key_file` None: a key that this home's stack knows, which is made where there is
        none: who may read this home has the database's password too."""
        self._url = url
        self._key_file = key_file
        self._home = home
        self._postgres_url = postgres_url

    def ask(self) -> Told:
        try:
            key, refusal = self._held(), ""
        except NoKeyError as error:
            key, refusal = "", str(error)
        health = self._get("api/v1/health", key)
        if health is None:
            return Told()
        system = self._get("api/v1/admin/system-status", key) if key else None
        if self._postgres_url and self._key_file is None and (not key or (system and system[0] in _REFUSED)):
            try:
                key = asyncio.run(self._made())  # there is none, or none that this database knows
            except NoKeyError as error:
                return Told(_body(health), refusal=str(error))
            system = self._get("api/v1/admin/system-status", key)
        if not key:
            return Told(_body(health), refusal=refusal)
        if system is None or system[0] != 200:
            return Told(_body(health), refusal=_refusal(system))
        return Told(_body(health), _body(system), _body(self._get("api/v1/admin/consumers", key)))

    def _get(self, path: str, key: str) -> tuple[int, Any] | None:
        query = f"?limit={CHANGES}" if path.endswith("system-status") else ""
        return answers.http_json(f"{self._url}{path}{query}", key=key, timeout_s=TIMEOUT_S)

    def _held(self) -> str:
        try:
            return (self._key_file or self._home.status_key_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            if self._key_file is not None:
                raise NoKeyError(f"the key in {self._key_file} cannot be read: {error}") from None
            raise NoKeyError("an admin's key is needed: `classpulse keys create NAME --admin`, --key-file") from None

    async def _made(self) -> str:
        from gateway.database import DatabaseAwayError, connected  # seldom, and slow to import
        from gateway.security import keys

        file = self._home.status_key_file
        try:
            async with connected(self._postgres_url, POSTGRES_WAIT_S) as database:
                key = await keys.create(database, KEY_NAME, role=keys.Role.ADMIN, replace=True, by="cli:status")
            write_secret(file, key)
        except DatabaseAwayError as error:
            raise NoKeyError(f"no key can be made: {error}") from None
        except OSError as error:
            raise NoKeyError(f"{file} cannot be written: {error.strerror}") from None
        return key


def _body(found: tuple[int, Any] | None) -> dict[str, Any]:
    return found[1] if found is not None and isinstance(found[1], dict) else {}


def _refusal(found: tuple[int, Any] | None) -> str:
    if found is None:
        return f"no answer within {TIMEOUT_S:g} s"
    return str(_body(found).get("detail") or f"it answers {found[0]}")
