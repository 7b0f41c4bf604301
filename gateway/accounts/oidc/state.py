"""What a browser keeps for us between going to the provider and coming back: sealed (AES-256-GCM, by a key derived from
CLASSPULSE_SECRET_KEY), so that whichever gateway process it comes back to can read it, and nobody else."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256

import msgspec
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

LIFE_S = 600  # for whoever has to find his second factor
SEALED_MAX = 2_000  # characters

_HEADER = {"alg": "dir", "enc": "A256GCM"}


class LogInState(msgspec.Struct, frozen=True):
    state: str  # comes back in the address: it is this browser that has asked
    nonce: str  # comes back in the ID token: it was made for this log-in
    verifier: str  # PKCE's: whoever reads the code can do nothing with it
    redirect_uri: str
    expires_s: float  # epoch

    @property
    def challenge(self) -> str:
        """S256 (RFC 7636, 4.2)."""
        return urlsafe_b64encode(sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def is_of(self, state: str) -> bool:
        return hmac.compare_digest(self.state.encode(), state.encode(errors="replace"))


def fresh(redirect_uri: str, now_s: float) -> LogInState:
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return LogInState(state, nonce, verifier, redirect_uri, now_s + LIFE_S)


class Seal:
    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(hmac.digest(secret.encode(), b"classpulse oidc state", "sha256"))
        # Kept from the browser, and put back: nobody else says how it is sealed.
        self._header = self._sealed(b"{}").partition(".")[0]

    def close(self, state: LogInState) -> str:
        return self._sealed(msgspec.json.encode(state)).partition(".")[2]

    def open(self, sealed: str, now_s: float) -> LogInState | None:
        """None: it is not by us, or over."""
        if len(sealed) > SEALED_MAX:
            return None
        try:
            opened = jwe.decrypt_compact(f"{self._header}.{sealed}", self._key, list(_HEADER.values())).plaintext
            state = msgspec.json.decode(opened or b"", type=LogInState)
        except (JoseError, ValueError):
            return None
        return state if state.expires_s > now_s else None

    def _sealed(self, content: bytes) -> str:
        return jwe.encrypt_compact(dict(_HEADER), content, self._key, list(_HEADER.values()))
