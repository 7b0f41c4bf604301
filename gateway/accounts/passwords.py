"""Passwords by Argon2id, in threads: one takes 64 MiB and 0.1 s of a core, so few are looked at at once."""

import asyncio
from functools import lru_cache

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

LENGTH_MIN = 12
LENGTH_MAX = 256
AT_ONCE = 2
WAITING_MAX = 32  # more are told to come back: the last of these has waited for about 2 s

_argon2id = PasswordHash((Argon2Hasher(),))


class PasswordError(ValueError):
    """It cannot be anybody's; the message says why."""


class CrowdError(Exception):
    """Too many log in at this moment."""


async def hashed(password: str) -> str:
    """Raises PasswordError."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise PasswordError(f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters")
    return await asyncio.to_thread(_argon2id.hash, password)


@lru_cache(1)
def _nobodys() -> str:
    return _argon2id.hash("nobody has this password")


class Passwords:
    """Of one process."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def fits(self, password: str, held: str | None) -> bool:
        """`held` None: there is no such person, and finding that out takes as long. Raises CrowdError."""
        if self._waiting >= WAITING_MAX:
            raise CrowdError
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(_compared, password, held)
        finally:
            self._waiting -= 1


def _compared(password: str, held: str | None) -> bool:
    fits = _argon2id.verify(password[:LENGTH_MAX], held or _nobodys())
    return fits and held is not None
