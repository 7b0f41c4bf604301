"""Access tokens with keys of a real PostgreSQL: what is taken for one, what is not, and how keys follow each other."""

import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from gateway.accounts.people import Account
from gateway.database import Database, DatabaseAwayError
from gateway.security.principal import Principal, Role
from gateway.security.signing import ALGORITHM, ASK_AGAIN_S, FRESH_S, OVERLAP_S, ROTATE_AFTER_S, SigningKeys
from gateway.security.tokens import ACCESS_S, AUDIENCE, ISSUER, LEEWAY_S, TYPE, AccessTokens, TokenError

SECRET = "a secret of the tests, and of nobody else"
AOI = Account(1, "aoi", "Aoi", Role.TEACHER, frozenset({("mine", ""), ("x", "t1")}), None, "", datetime.now(UTC), None)


class Clock:
    """Told what time it is."""

    def __init__(self) -> None:
        self.now = 1_768_437_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(database: Database, clock: Clock) -> SigningKeys:
    return SigningKeys(database, SECRET, clock)


@pytest.fixture
def tokens(keys: SigningKeys, clock: Clock) -> AccessTokens:
    return AccessTokens(keys, clock)


async def claims(clock: Clock, **changes: object) -> dict[str, Any]:
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "aoi",
        "iat": int(clock.now),
        "exp": int(clock.now) + ACCESS_S,
        "role": "teacher",
        "courses": [],
        "teams": [],
        "student": None,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


async def signed(keys: SigningKeys, said: dict[str, Any], **header: object) -> str:
    """By the right key, whatever it says."""
    signer = await keys.newest()
    whole: dict[str, Any] = {"alg": ALGORITHM, "kid": signer.kid, "typ": TYPE, **header}
    return jwt.encode(whole, said, signer.key, algorithms=[ALGORITHM], default_type=None)


async def test_a_token_says_who_it_is_until_it_expires_and_clocks_may_differ(
    tokens: AccessTokens, clock: Clock
) -> None:
    issued = await tokens.issue(AOI)
    who = await tokens.verify(issued.token)
    assert who == Principal("aoi", Role.TEACHER, frozenset({"mine"}), frozenset({("x", "t1")}), None, who.expires_s)
    assert who.expires_s == issued.expires_s + LEEWAY_S == clock.now + ACCESS_S + LEEWAY_S
    clock.now -= LEEWAY_S  # a gateway whose clock is behind
    assert await tokens.verify(issued.token) == who
    clock.now += ACCESS_S + 2 * LEEWAY_S - 1
    assert await tokens.verify(issued.token) == who
    clock.now += 1
    with pytest.raises(TokenError, match="expired"):
        await tokens.verify(issued.token)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"iss": ...},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": ...},
        {"exp": ...},
        {"exp": "tomorrow"},
        {"iat": ...},
        {"iat": 1_768_437_000 + LEEWAY_S + 1},
        {"nbf": 1_768_437_000 + LEEWAY_S + 1},
        {"sub": ...},
        {"sub": 7},
        {"role": "god"},
        {"role": ...},
        {"courses": "mine"},
        {"courses": ...},
        {"teams": [["mine"]]},
    ],
    ids=str,
)
async def test_what_says_something_else_is_none(
    tokens: AccessTokens, keys: SigningKeys, clock: Clock, changes: dict[str, object]
) -> None:
    assert (await tokens.verify(await signed(keys, await claims(clock)))).name == "aoi"
    with pytest.raises(TokenError):
        await tokens.verify(await signed(keys, await claims(clock, **changes)))


async def test_no_other_algorithm_is_taken(tokens: AccessTokens, keys: SigningKeys, clock: Clock) -> None:
    """Not even one that is signed with what everybody knows of our key (RFC 8725, 2.1)."""
    said, signer = await claims(clock), await keys.newest()
    public = signer.key.as_dict(private=False)
    header = {"alg": "HS256", "kid": signer.kid, "typ": TYPE}
    for secret in (public["x"], json.dumps(public), signer.key.as_pem(private=False)):
        content = f"{_segment(header)}.{_segment(said)}"
        by_public = hmac.digest(
            secret if isinstance(secret, bytes) else str(secret).encode(), content.encode(), "sha256"
        )
        with pytest.raises(TokenError):
            await tokens.verify(f"{content}.{urlsafe_b64encode(by_public).decode()}")
    good = await signed(keys, said)
    _, payload, signature = good.split(".")
    for alg in ("none", "None", "HS256", "ES256", "EdDSA", "Ed448", "", None, 7):
        changed = _segment({"alg": alg, "kid": signer.kid, "typ": TYPE})
        for last in (signature, ""):
            with pytest.raises(TokenError):
                await tokens.verify(f"{changed}.{payload}.{last}")


async def test_what_is_signed_by_another_or_changed_is_none(
    tokens: AccessTokens, keys: SigningKeys, clock: Clock
) -> None:
    said, signer = await claims(clock), await keys.newest()
    header: dict[str, Any] = {"alg": ALGORITHM, "kid": signer.kid, "typ": TYPE}
    stranger = OKPKey.generate_key("Ed25519")
    forged = [
        jwt.encode(header, said, stranger, algorithms=[ALGORITHM]),
        jwt.encode({**header, "jwk": stranger.as_dict(private=False)}, said, stranger, algorithms=[ALGORITHM]),
        jwt.encode({**header, "kid": "another"}, said, signer.key, algorithms=[ALGORITHM]),
        await signed(keys, said, typ="JWT"),
        await signed(keys, said, crit=["b64"], b64=False),
    ]
    head, payload, signature = (await signed(keys, said)).split(".")
    raised = _segment({**json.loads(urlsafe_b64decode(payload.encode())), "role": "admin"})
    forged += [f"{head}.{raised}.{signature}", f"{head}.{payload}.{signature[:-4]}AAAA", f"{head}.{payload}"]
    forged += ["", ".", "..", "a.b.c", "é", "x" * 10_000, _segment([]) + "..", _segment({"kid": ["a"]}) + ".."]
    for token in forged:
        with pytest.raises(TokenError):
            await tokens.verify(token)


async def test_keys_follow_each_other_and_the_old_one_is_good_for_an_hour(
    tokens: AccessTokens, keys: SigningKeys, clock: Clock
) -> None:
    old = (await keys.newest()).kid
    clock.now += ROTATE_AFTER_S - 1
    last = await tokens.issue(AOI)
    clock.now += 2
    assert (await keys.newest()).kid != old
    assert {key["kid"] for key in await keys.public()} == {old, (await keys.newest()).kid}
    assert all(set(key) == {"kid", "kty", "crv", "x", "use", "alg"} for key in await keys.public())
    assert (await tokens.verify(last.token)).name == "aoi"
    clock.now += OVERLAP_S + FRESH_S
    assert {key["kid"] for key in await keys.public()} == {(await keys.newest()).kid}


async def test_two_gateways_sign_alike_and_learn_of_new_keys_at_once(
    database: Database, keys: SigningKeys, clock: Clock
) -> None:
    here, there = AccessTokens(keys, clock), AccessTokens(SigningKeys(database, SECRET, clock), clock)
    assert (await there.verify((await here.issue(AOI)).token)).name == "aoi"
    clock.now += ASK_AGAIN_S
    await keys.rotate()
    assert (await there.verify((await here.issue(AOI)).token)).name == "aoi"


async def test_rotated_at_once_what_was_signed_before_ends(
    database: Database, tokens: AccessTokens, keys: SigningKeys, clock: Clock
) -> None:
    issued = await tokens.issue(AOI)
    elsewhere = AccessTokens(SigningKeys(database, SECRET, clock), clock)
    assert (await elsewhere.verify(issued.token)).name == "aoi"
    await keys.rotate(overlap_s=0.0)
    with pytest.raises(TokenError, match="no key of ours"):
        await tokens.verify(issued.token)
    clock.now += FRESH_S
    with pytest.raises(TokenError, match="no key of ours"):
        await elsewhere.verify(issued.token)


async def test_with_another_secret_there_are_other_keys(database: Database, tokens: AccessTokens, clock: Clock) -> None:
    issued = await tokens.issue(AOI)
    other = AccessTokens(SigningKeys(database, SECRET + "!", clock), clock)
    with pytest.raises(TokenError, match="no key of ours"):
        await other.verify(issued.token)
    assert (await other.verify((await other.issue(AOI)).token)).name == "aoi"


async def test_no_private_key_is_in_the_database(database: Database, keys: SigningKeys) -> None:
    private = (await keys.newest()).key.as_dict(private=True)["d"]
    rows = await database.fetch("SELECT signing_keys::text AS row FROM signing_keys")
    assert len(rows) == 1
    assert str(private) not in rows[0]["row"]


async def test_while_postgresql_is_away_tokens_stay_good(
    database: Database, tokens: AccessTokens, clock: Clock
) -> None:
    issued = await tokens.issue(AOI)
    await database.stop()
    clock.now += FRESH_S + 1
    assert (await tokens.verify(issued.token)).name == "aoi"
    with pytest.raises(DatabaseAwayError):
        await AccessTokens(SigningKeys(database, SECRET, clock), clock).verify(issued.token)


def _segment(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode()
