"""What an ID token must be to be believed (OpenID Connect Core 1.0, 3.1.3.7). Pure."""

import hmac
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.accounts.identities import Claim, Identity, folded, sound

# Each checks by a public key. None is a MAC: a provider's public key, which everybody knows, is never a secret (RFC
# 8725, 2.1), and our client secret would be one that we sign with too.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519"),
)
LEEWAY_S = 60  # by which the provider's clock may differ from ours
AGE_MAX_S = 600  # it was made for this log-in
TOKEN_MAX = 16_384  # characters; some providers tell all groups of somebody
RSA_BITS_MIN = 2_048
KEYS_MAX = 50

Key = RSAKey | ECKey | OKPKey


class IdTokenError(Exception):
    """It is not believed; the message says why, and has nothing of it."""


class Expected(NamedTuple):
    issuer: str
    client_id: str
    nonce: str
    claim: Claim


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    iat: float
    nonce: str
    azp: str | None = None
    nbf: float | None = None
    email: str | None = None
    email_verified: Any = None
    preferred_username: str | None = None


def public_keys(found: Sequence[object]) -> dict[str | None, Key]:
    """Of a JWKS, by `kid`; what is no key for signatures, or a weak one, is left out."""
    keys: dict[str | None, Key] = {}
    kinds: dict[str, type[Key]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    for each in found[:KEYS_MAX]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        if (kind := kinds.get(str(each.get("kty")))) is None or (kind is RSAKey and _bits(each) < RSA_BITS_MIN):
            continue
        try:
            key = kind.import_key(_public(each))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        keys[each["kid"] if isinstance(each.get("kid"), str) else None] = key
    return keys


def kid_of(token: str) -> str | None:
    """Believed only as far as finding the key to check with. Raises IdTokenError."""
    if len(token) > TOKEN_MAX:
        raise IdTokenError(f"it has more than {TOKEN_MAX} characters")
    try:
        kid = jws.extract_compact(token.encode(), registry=_registry()).headers().get("kid")
    except (JoseError, ValueError):
        raise IdTokenError("it is no signed token") from None
    return kid if isinstance(kid, str) else None


def verified(token: str, key: Key, expected: Expected, now_s: float) -> Identity:
    """Raises IdTokenError."""
    try:
        signed = jws.deserialize_compact(token, key, registry=_registry())
    except (JoseError, ValueError, TypeError, AttributeError):
        raise IdTokenError("it is not signed by the provider, or not in a way we take") from None
    try:
        claims = msgspec.json.decode(signed.payload, type=_Claims)
    except msgspec.MsgspecError:  # whose message would tell what it says
        raise IdTokenError("a claim is missing, or is not what it should be") from None
    if (wrong := _wrong(claims, expected, now_s)) is not None:
        raise IdTokenError(wrong)
    return Identity(claims.iss, claims.sub, expected.claim, _known_as(claims, expected.claim))


def _wrong(claims: _Claims, expected: Expected, now_s: float) -> str | None:
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if claims.iss != expected.issuer:
        return "iss: it is another provider's"
    if audiences != [expected.client_id]:
        return "aud: it is not for us, or not for us alone"
    if claims.azp not in (None, expected.client_id):
        return "azp: it was given to another"
    if claims.exp <= now_s - LEEWAY_S:
        return "exp: it has expired"
    if claims.iat > now_s + LEEWAY_S or (claims.nbf or 0) > now_s + LEEWAY_S:
        return "iat or nbf: it is not good yet"
    if claims.iat < now_s - AGE_MAX_S - LEEWAY_S:
        return "iat: it is too old for this log-in"
    if not hmac.compare_digest(claims.nonce.encode(), expected.nonce.encode()):
        return "nonce: it is another log-in's"
    return None if sound(claims.sub) else "sub: it is empty, too long, or not printable"


def _known_as(claims: _Claims, claim: Claim) -> str | None:
    if claim == "email" and claims.email_verified is not True:  # anybody can say an address
        return None
    value: str | None = getattr(claims, claim)
    return folded(claim, value) if value is not None and sound(value) else None


def _registry() -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)  # some say more than they need to
    registry.max_header_length = TOKEN_MAX  # of all of it, which was measured; a header may have certificates
    return registry


def _bits(key: dict[str, Any]) -> int:
    return len(str(key.get("n", ""))) * 6  # of base64, without a warning where it is weak


def _public(key: dict[str, Any]) -> dict[str, str | list[str]]:
    """What checks a signature: the rest might make it a key of another kind."""
    return {name: key[name] for name in ("kty", "crv", "n", "e", "x", "y") if isinstance(key.get(name), str)}
