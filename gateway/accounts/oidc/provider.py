"""The OpenID provider, asked over HTTP: what it says of itself (discovery), its keys, and codes for tokens.

Everything is bounded: each answer in bytes, each question in time with all its attempts, how many are under way at
once, and how often a provider that is away is asked. Nothing it answers is told on but an error's code.
"""

import asyncio
import math
import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
import msgspec
import structlog

from gateway.accounts.oidc import id_token
from gateway.accounts.oidc.id_token import Key
from gateway.settings import is_loopback, is_safe

log = structlog.get_logger(__name__)

ANSWER_TIMEOUT_S = 2.0  # of one attempt
WITHIN_S = 4.0  # of all of them
ATTEMPTS = 3
PAUSE_S = 0.2  # before the second one, at most; then twice as long
BYTES_MAX = 256 * 1_024
AT_ONCE = 16  # questions; more wait for ANSWER_TIMEOUT_S
FRESH_S = 3_600.0  # a key taken back is good for so long at most, an address that moved is asked for as long
AGAIN_S = 2.0  # a provider that is away, or a key it did not have, is not asked for more often

T = TypeVar("T")


class ProviderAwayError(Exception):
    """It cannot be reached, does not answer in time, or says that it is busy."""


class ProviderFaultError(Exception):
    """It answers what it should not: a wrong setting there or here. The message says what."""


class CodeError(Exception):
    """It does not take this code, or not any more."""


class Metadata(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    code_challenge_methods_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)  # as the standard has it
    authorization_response_iss_parameter_supported: bool = False


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[Any]


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str  # the others are for asking the provider more, which we do not


class _Error(msgspec.Struct, frozen=True):
    error: str = ""


class Client(NamedTuple):
    """As the provider knows us."""

    issuer: str
    id: str
    secret: str  # "": it gave us none
    scopes: str


class _Kept(Generic[T]):
    """Asked for once, however many want it."""

    def __init__(self, ask: Callable[[], Awaitable[T]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._asking = asyncio.Lock()
        self._answer: T | None = None
        self._error: ProviderAwayError | ProviderFaultError | None = None
        self._at_s = -math.inf

    async def get(self, fresh_s: float) -> T:
        async with self._asking:
            age_s = self._clock() - self._at_s
            if self._error is not None and age_s < AGAIN_S:
                raise self._error
            if self._answer is None or self._error is not None or age_s >= fresh_s:
                await self._renew()
        assert self._answer is not None  # noqa: S101 -- or it has raised
        return self._answer

    async def _renew(self) -> None:
        try:
            self._answer, self._error = await self._ask(), None
        except (ProviderAwayError, ProviderFaultError) as error:
            if self._error is None:  # said once an outage
                log.warning("the OpenID provider cannot be used", reason=str(error))
            self._error = error
            raise
        finally:
            self._at_s = self._clock()


class Provider:
    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._metadata = _Kept(self._discover, clock)
        self._keys = _Kept(self._read_keys, clock)
        self._http: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Asks nothing yet."""
        self._http = httpx.AsyncClient(
            timeout=ANSWER_TIMEOUT_S,
            limits=httpx.Limits(max_connections=AT_ONCE),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            trust_env=not is_loopback(self.client.issuer),  # a school's proxy, and its own authorities
        )

    async def stop(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def metadata(self) -> Metadata:
        """Raises ProviderAwayError, ProviderFaultError."""
        return await self._metadata.get(FRESH_S)

    async def address(self, **asked: str) -> str:
        """Where a browser goes to log in. Raises ProviderAwayError, ProviderFaultError."""
        endpoint = (await self.metadata()).authorization_endpoint
        more = {"response_type": "code", "client_id": self.client.id, "scope": self.client.scopes, **asked}
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(more)}"

    async def redeem(self, code: str, verifier: str, redirect_uri: str) -> str:
        """The ID token. Sent again only where it was not sent: a code is good once. Raises CodeError,
        ProviderAwayError, ProviderFaultError."""
        metadata = await self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        client, auth = self.client, None
        if client.secret and "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            auth = httpx.BasicAuth(quote_plus(client.id), quote_plus(client.secret))
        else:
            form |= {"client_id": client.id} | ({"client_secret": client.secret} if client.secret else {})
        status, body = await self._ask("POST", metadata.token_endpoint, data=form, auth=auth)
        if status == 200:
            return _read(body, _Tokens, "token endpoint").id_token
        error = re.sub(r"[^a-z_]", "", _read(body, _Error, "token endpoint").error)[:40]
        if error == "invalid_grant":
            raise CodeError
        raise ProviderFaultError(f"its token endpoint answers {status} {error}")

    async def key(self, kid: str | None) -> Key | None:
        """To check an ID token with; without a `kid` only where there is no other. Raises ProviderAwayError,
        ProviderFaultError."""
        keys = await self._keys.get(FRESH_S)
        if kid is not None and kid not in keys:
            keys = await self._keys.get(AGAIN_S)
        if kid is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(kid)

    async def _discover(self) -> Metadata:
        url = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = _read(await self._get(url), Metadata, "discovery")
        if found.issuer != self.client.issuer:
            raise ProviderFaultError("it calls itself otherwise than CLASSPULSE_OIDC_ISSUER does")
        loopback = is_loopback(self.client.issuer)
        for endpoint in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            if not is_safe(endpoint) or (is_loopback(endpoint) and not loopback):
                raise ProviderFaultError("one of its addresses is not https")
        if "S256" not in (found.code_challenge_methods_supported or ["S256"]):
            raise ProviderFaultError("it does not know PKCE with S256")
        return found

    async def _read_keys(self) -> dict[str | None, Key]:
        found = _read(await self._get((await self.metadata()).jwks_uri), _KeySet, "JWKS")
        return id_token.public_keys(found.keys)

    async def _get(self, url: str) -> bytes:
        status, body = await self._ask("GET", url)
        if status != 200:
            raise ProviderFaultError(f"{urlsplit(url).path} answers {status}")
        return body

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, bytes]:
        """Raises ProviderAwayError, ProviderFaultError."""
        away = ""
        try:
            async with asyncio.timeout(WITHIN_S):
                for attempt in range(ATTEMPTS):
                    if attempt:
                        await asyncio.sleep(random.uniform(0, PAUSE_S * 2 ** (attempt - 1)))  # noqa: S311 -- jitter
                    try:
                        status, body = await self._once(method, url, **more)
                    except httpx.TransportError as error:
                        away = type(error).__name__
                        sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                    else:
                        if status < 500 and status != 429:
                            return status, body
                        away, sent = f"it answers {status}", True
                    if sent and method != "GET":
                        break
        except TimeoutError:
            away = away or f"no answer within {WITHIN_S:g} s"
        except (httpx.InvalidURL, httpx.HTTPError):
            raise ProviderFaultError("one of its addresses is none, or an answer is not HTTP") from None
        raise ProviderAwayError(away)

    async def _once(self, method: str, url: str, **more: Any) -> tuple[int, bytes]:
        if self._http is None:
            raise ProviderAwayError("the gateway does not run")
        body = bytearray()
        async with self._http.stream(method, url, **more) as response:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > BYTES_MAX:
                    raise ProviderFaultError(f"an answer has more than {BYTES_MAX} bytes")
            return response.status_code, bytes(body)


def _read(body: bytes, shape: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.MsgspecError:  # whose message may show what is secret
        raise ProviderFaultError(f"its {what} answers what is no such thing") from None
