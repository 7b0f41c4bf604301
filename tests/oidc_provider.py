"""An OpenID provider of the tests' own, on a real port, in a thread: it checks what a good one checks (client, redirect
address, PKCE, each code once), and can be told to misbehave."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64encode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stack import ports

CLIENT, CLIENT_SECRET = "classpulse here", "a client's secret: +%/"
KID = "first"

# As whom one comes back who logs in there; what is not said is not claimed.
AOI = {"sub": "u-1", "email": "Aoi@school.example", "email_verified": True, "preferred_username": "aoi"}


@dataclass
class Grant:
    """What a code stands for."""

    nonce: str
    challenge: str
    redirect_uri: str


@dataclass
class OidcProvider:
    port: int
    host: str = "127.0.0.1"
    key: RSAKey | ECKey = field(default_factory=lambda: RSAKey.generate_key(2048))
    kid: str | None = KID
    # What the next answers are like; `behave` puts all of it back.
    who: dict[str, Any] = field(default_factory=lambda: dict(AOI))
    claims: dict[str, Any] = field(default_factory=dict)  # over the good ones; ...: left out
    metadata: dict[str, Any] = field(default_factory=dict)
    forge: str = ""  # "none", "hs256", "other key"
    refuses: str = ""  # the error it sends a browser back with
    token_status: int = 0
    says_iss: str | None = None
    hidden: bool = False  # it does not show its key
    stopped: threading.Event = field(default_factory=threading.Event)
    slow: bool = False  # answers nothing until it is stopped or behaves
    # What it was asked.
    grants: dict[str, Grant] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return f"http://{self.host}:{self.port}/realm"

    def behave(self) -> None:
        good = OidcProvider(self.port, self.host, self.key, self.kid)
        for name in ("who", "claims", "metadata", "forge", "refuses", "token_status", "says_iss", "slow", "hidden"):
            setattr(self, name, getattr(good, name))

    def rotate(self, key: RSAKey | ECKey, kid: str | None) -> None:
        self.key, self.kid = key, kid

    @property
    def algorithm(self) -> str:
        return "ES256" if isinstance(self.key, ECKey) else "RS256"

    def _discovery(self, _: Request) -> Response:
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?theme=plain",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "code_challenge_methods_supported": ["plain", "S256"],
        }
        return JSONResponse({**said, **self.metadata})

    def _keys(self, _: Request) -> Response:
        shown = {**self.key.as_dict(private=False), "use": "sig"} | ({"kid": self.kid} if self.kid else {})
        others = [{"kty": "oct", "k": "AAAA", "kid": KID}, {"kty": "RSA", "use": "enc"}, {"kty": "EC"}, 7]
        return JSONResponse({"keys": others if self.hidden else [*others, shown]})

    def _authorize(self, request: Request) -> Response:
        """Whoever comes is logged in there already."""
        asked = request.query_params
        assert asked["response_type"] == "code"
        assert (asked["client_id"], asked["code_challenge_method"]) == (CLIENT, "S256")
        assert "openid" in asked["scope"].split()
        back = {"state": asked["state"], "session_state": "of no interest"}
        if self.says_iss is not None:
            back["iss"] = self.says_iss
        if self.refuses:
            back["error"] = self.refuses
        else:
            back["code"] = secrets.token_urlsafe(16)
            self.grants[back["code"]] = Grant(asked["nonce"], asked["code_challenge"], asked["redirect_uri"])
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)

    async def _token(self, request: Request) -> Response:
        if self.token_status:
            return JSONResponse({"error": "temporarily_unavailable"}, self.token_status)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        shown = base64.b64decode(given).decode().split(":") if scheme == "Basic" else []
        if [unquote_plus(part) for part in shown] != [CLIENT, CLIENT_SECRET]:
            return JSONResponse({"error": "invalid_client"}, 401)
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        grant = self.grants.pop(form["code"], None)  # good once
        if grant is None or grant.redirect_uri != form["redirect_uri"] or grant.challenge != _s256(form):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": self._id_token(grant)})

    def _id_token(self, grant: Grant) -> str:
        now_s = int(time.time())
        good = {"iss": self.issuer, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": grant.nonce, **self.who}
        said = {name: value for name, value in {**good, **self.claims}.items() if value is not ...}
        header: dict[str, Any] = {"alg": self.algorithm} | ({"kid": self.kid} if self.kid else {})
        if self.forge == "none":
            return f"{_segment({**header, 'alg': 'none'})}.{_segment(said)}."
        if self.forge == "hs256":  # with what everybody knows of the key (RFC 8725, 2.1)
            content = f"{_segment({**header, 'alg': 'HS256'})}.{_segment(said)}"
            mac = hmac.digest(self.key.as_pem(private=False), content.encode(), "sha256")
            return f"{content}.{urlsafe_b64encode(mac).decode()}"
        key = RSAKey.generate_key(2048) if self.forge == "other key" else self.key
        return jwt.encode(header, said, key, algorithms=[str(header["alg"])])

    @property
    def app(self) -> Starlette:
        def noted(endpoint: Any) -> Any:
            async def answered(request: Request) -> Response:
                self.asked.append(request.url.path.rpartition("/")[2])
                while self.slow and not self.stopped.is_set():
                    if await request.is_disconnected():
                        break
                    await asyncio.sleep(0.05)
                found = endpoint(request)
                return found if isinstance(found, Response) else await found

            return answered

        return Starlette(
            routes=[
                Route("/realm/.well-known/openid-configuration", noted(self._discovery)),
                Route("/realm/keys", noted(self._keys)),
                Route("/realm/authorize", noted(self._authorize)),
                Route("/realm/token", noted(self._token), methods=["POST"]),
            ]
        )


@contextmanager
def provider(host: str = "127.0.0.1") -> Iterator[OidcProvider]:
    """`host`: what it calls itself; it listens on 127.0.0.1."""
    found = OidcProvider(ports.free(), host)
    server = uvicorn.Server(
        uvicorn.Config(found.app, host="127.0.0.1", port=found.port, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run, name="OpenID provider", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield found
    finally:
        found.stopped.set()
        server.should_exit = True
        thread.join(10)


def _s256(form: dict[str, str]) -> str:
    return urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()


def _segment(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode()
