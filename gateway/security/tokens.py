"""Access tokens (RFC 9068): JWTs that say who somebody is for ACCESS_S, so that no request asks PostgreSQL."""

import json
import time
from binascii import Error as BinasciiError
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64decode

from gateway.accounts.people import Account
from gateway.security.principal import Principal, Role
from gateway.security.signing import ALGORITHM, SigningKeys

ACCESS_S = 900
LEEWAY_S = 30  # by which the clocks of two gateways may differ
ISSUER = AUDIENCE = "classpulse"
TYPE = "at+jwt"  # other tokens of ours, should there be any, are none
TOKEN_MAX = 4_000  # characters: what a cookie holds


class TokenError(Exception):
    """The token is not good; the message says why, and is for whoever sent it."""


class Issued(NamedTuple):
    token: str
    expires_s: int  # epoch


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    exp: int
    role: Role
    courses: list[str] | None
    teams: list[tuple[str, str]]
    student: str | None


class AccessTokens:
    def __init__(self, keys: SigningKeys, clock: Callable[[], float] = time.time) -> None:
        self.keys = keys
        self._clock = clock

    async def issue(self, account: Account) -> Issued:
        """Raises DatabaseAwayError."""
        signer = await self.keys.newest()
        now_s = int(self._clock())
        who = account.principal
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": who.name,
            "iat": now_s,
            "exp": now_s + ACCESS_S,
            "role": who.role.value,
            "courses": None if who.courses is None else sorted(who.courses),
            "teams": sorted(who.teams),
            "student": who.student_id,
        }
        header = {"alg": ALGORITHM, "kid": signer.kid}
        token = jwt.encode(header, claims, signer.key, algorithms=[ALGORITHM], default_type=TYPE)
        return Issued(token, now_s + ACCESS_S)

    async def verify(self, token: str) -> Principal:
        """Raises TokenError; DatabaseAwayError where it cannot be told."""
        key = await self.keys.of(_kid(token))
        if key is None:
            raise TokenError("this access token is signed by no key of ours")
        rules = jwt.JWTClaimsRegistry(
            now=int(self._clock()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            decoded = jwt.decode(token, key, algorithms=[ALGORITHM])
            if decoded.header.get("typ") != TYPE:
                raise TokenError("this is no access token")
            rules.validate(decoded.claims)
            claims = msgspec.convert(decoded.claims, _Claims)
        except (JoseError, msgspec.ValidationError, ValueError) as error:
            raise TokenError(f"this access token is not good: {error}") from None
        courses = None if claims.courses is None else frozenset(claims.courses)
        return Principal(
            claims.sub, claims.role, courses, frozenset(claims.teams), claims.student, float(claims.exp + LEEWAY_S)
        )


def _kid(token: str) -> str:
    """Believed only as far as finding the key to check with."""
    if len(token) > TOKEN_MAX:
        raise TokenError(f"an access token has at most {TOKEN_MAX} characters")
    try:
        header: Any = json.loads(urlsafe_b64decode(token.partition(".")[0].encode("ascii")))
    except (ValueError, BinasciiError, RecursionError):
        header = None
    kid = header.get("kid") if isinstance(header, dict) else None
    if not isinstance(kid, str):
        raise TokenError("this is no access token")
    return kid
