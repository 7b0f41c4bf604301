"""What a browser or a provider may send instead of a sealed state, a token or a key: refused, and nothing breaks."""

import json
import random

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode

from gateway.accounts.oidc import id_token
from gateway.accounts.oidc.id_token import Expected, IdTokenError
from gateway.accounts.oidc.state import LIFE_S, Seal, fresh

ODD: list[object] = [None, 7, [], {}, "", "none", "RS256", "dir", "A128KW", True, "é", ["b64"], "DEF", -1, 1.5, "\0"]
NAMES = ["alg", "enc", "kid", "crit", "zip", "b64", "p2c", "p2s", "epk", "typ", "jwk", "x5c"]
PARTS = ["", "é", "a", "====", "\udc80", "\0", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA"]


def _spoilt(good: str, dice: random.Random) -> str:
    parts = good.split(".")
    if dice.random() < 0.7:
        header = {name: dice.choice(ODD) for name in dice.sample(NAMES, dice.randint(0, 6))}
        parts[0] = urlsafe_b64encode(json.dumps(dice.choice([header, header, dice.choice(ODD)])).encode()).decode()
    if dice.random() < 0.5:
        parts[dice.randrange(len(parts))] = dice.choice(PARTS)
    text = ".".join(parts)
    return text[: dice.randrange(len(text) + 1)] if dice.random() < 0.1 else text


def test_a_state_is_opened_by_its_seal_until_it_is_over() -> None:
    seal, begun = Seal("x" * 40), fresh("http://127.0.0.1/", 1_000.0)
    sealed = seal.close(begun)
    assert Seal("x" * 40).open(sealed, 1_000.0) == begun
    assert seal.open(sealed, 1_000.0 + LIFE_S) is None
    assert Seal("y" * 40).open(sealed, 1_000.0) is None
    assert seal.open("x" * 10_000, 1_000.0) is None


def test_what_was_spoilt_is_refused() -> None:
    dice, seal = random.Random(7), Seal("x" * 40)
    sealed = seal.close(fresh("http://127.0.0.1/", 1_000.0))
    signer = RSAKey.generate_key(2048)
    keys: list[id_token.Key] = [signer, ECKey.generate_key("P-256"), OKPKey.generate_key("X25519")]
    token = jwt.encode({"alg": "RS256", "kid": "k"}, {"sub": "x"}, signer)
    for _ in range(1_000):
        cookie, forged = _spoilt(sealed, dice), _spoilt(token, dice)
        assert cookie == sealed or seal.open(cookie, 1_000.0) is None
        try:
            id_token.kid_of(forged)
            id_token.verified(forged, dice.choice(keys), Expected("i", "c", "n", "sub"), 1_000.0)
        except IdTokenError:
            continue
        raise AssertionError(forged)


def test_what_is_no_key_is_left_out() -> None:
    dice = random.Random(7)
    values = [*ODD, "AQAB", "P-256", "Ed25519", "A" * 400]
    for _ in range(1_000):
        odd = {name: dice.choice(values) for name in ("n", "e", "x", "y", "crv", "kid")}
        id_token.public_keys([{**odd, "kty": dice.choice(["RSA", "EC", "OKP", [], {}, 7])}, dice.choice(ODD)])
    strong = {**RSAKey.generate_key(2048).as_dict(private=False), "kid": "strong"}
    weak = {**strong, "n": str(strong["n"])[:170], "kid": "weak"}  # 1,020 bits
    assert list(id_token.public_keys([weak, {**strong, "use": "enc"}, strong])) == ["strong"]
    assert id_token.public_keys([weak, {**strong, "use": "enc"}]) == {}
