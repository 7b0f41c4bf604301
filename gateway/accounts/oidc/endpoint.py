"""/api/v1/auth/oidc: to the provider and back; and /api/v1/auth/ways, which ways to log in there are.

A browser that asked for a page is sent to ours, with the kind of refusal in the address; a program gets a problem.
"""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import structlog
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway import problems
from gateway.accounts import cookies, identities, sessions
from gateway.accounts.attempts import OF_ADDRESS, Attempts
from gateway.accounts.identities import Claim, Identity
from gateway.accounts.oidc import id_token, state
from gateway.accounts.oidc.id_token import Expected, IdTokenError
from gateway.accounts.oidc.provider import CodeError, Provider, ProviderAwayError, ProviderFaultError
from gateway.accounts.oidc.state import LIFE_S, LogInState, Seal
from gateway.database import Database
from gateway.problems import ProblemError
from gateway.security.audit_log import Entry
from gateway.security.gate import Gate
from gateway.security.limits import Limits, address
from gateway.security.recorder import Recorder
from gateway.security.tokens import AccessTokens

log = structlog.get_logger(__name__)

STATE_COOKIE = "classpulse_oidc"
FOLDER = f"{cookies.FOLDER}/oidc"
PAGE = "/"


class Ways(BaseModel):
    password: Annotated[bool, Field(description="whether one logs in at all", examples=[True])]
    oidc: Annotated[str | None, Field(description="what the provider is called; null: none", examples=["the school"])]


class Kind(StrEnum):
    """As the page is told of it."""

    AGAIN = "again"  # begin anew
    REFUSED = "refused"
    STRANGER = "stranger"  # no account
    AWAY = "away"


class RefusalError(Exception):
    def __init__(self, kind: Kind, problem: ProblemError, why: str, whom: str = "") -> None:
        """`why`: for the audit log."""
        super().__init__(why)
        self.kind = kind
        self.problem = problem
        self.entry_detail = f"oidc: {why}"
        self.whom = whom


class Oidc(NamedTuple):
    provider: Provider
    seal: Seal
    claim: Claim
    name: str


def router(
    database: Database,
    tokens: AccessTokens | None,
    oidc: Oidc | None,
    gate: Gate,
    recorder: Recorder,
    limits: Limits,
    attempts: Attempts,
    clock: Callable[[], float] = time.time,
) -> APIRouter:
    """`oidc` None: nobody logs in so, and its routes say so. Its provider is started and stopped by whoever made it."""
    routes = APIRouter(tags=["auth"])
    default: dict[int | str, dict[str, Any]] = {"default": problems.documented(500)[500]}
    away = problems.documented(400, 403, 404, 429, 502, 503) | default

    def on() -> tuple[Oidc, AccessTokens]:
        if oidc is None or tokens is None:
            raise ProblemError(404, "nobody logs in here by OpenID Connect: CLASSPULSE_OIDC_ISSUER is not set")
        return oidc, tokens

    async def refused(request: Request, refusal: RefusalError) -> Response:
        recorder.note(Entry("", "login", refusal.whom, address(request), "refused", refusal.entry_detail))
        if refusal.kind is not Kind.AWAY:
            await attempts.failed(address(request))
        if "text/html" not in request.headers.get("accept", ""):
            raise refusal.problem
        return RedirectResponse(f"{PAGE}?log-in={refusal.kind}", 302)

    async def admit(request: Request) -> None:
        if (wait_ms := await attempts.begin_at(address(request))) is not None:
            raise problems.limited(f"{OF_ADDRESS} log-ins that fail", wait_ms)

    @routes.get("/api/v1/auth/ways", responses=problems.documented(403, 429) | default, dependencies=[Depends(gate)])
    @limits.reads
    async def ways(request: Request) -> Ways:  # noqa: ARG001 -- the limit's
        """How one may log in."""
        return Ways(password=tokens is not None, oidc=oidc.name if oidc and tokens else None)

    @routes.get(
        "/api/v1/auth/oidc/start",
        status_code=302,
        response_class=RedirectResponse,
        responses=away,
        dependencies=[Depends(gate)],
    )
    @limits.reads
    async def start(request: Request) -> Response:
        """Sends a browser to the provider, with a cookie by which it is known when it comes back within 10 minutes."""
        here, _ = on()
        await admit(request)
        begun = state.fresh(f"{request.url.scheme}://{request.url.netloc}{FOLDER}/callback", clock())
        asked = {
            "redirect_uri": begun.redirect_uri,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
        }
        try:
            response = RedirectResponse(await here.provider.address(**asked), 302)
        except (ProviderAwayError, ProviderFaultError) as error:
            return await refused(request, _unusable(here, error))
        # Lax: it has to come along when the provider, which is another site, sends the browser back.
        cookies.put(response, request, STATE_COOKIE, here.seal.close(begun), FOLDER, LIFE_S, "lax")
        return response

    @routes.get(
        "/api/v1/auth/oidc/callback",
        status_code=302,
        response_class=RedirectResponse,
        responses=away | problems.documented(401),
        dependencies=[Depends(gate)],
    )
    @limits.reads
    async def callback(
        request: Request,
        returned: Annotated[str, Query(alias="state", max_length=200, examples=["Qm8…"])] = "",
        code: Annotated[str, Query(max_length=4_096, examples=["SplxlOBeZQQYbYS6WxSbIA"])] = "",
        error: Annotated[str, Query(max_length=200, description="instead of a code")] = "",
        iss: Annotated[str, Query(max_length=500, description="who sends the browser back (RFC 9207)")] = "",
    ) -> Response:
        """Where the provider sends the browser back to: logs it in, as `/api/v1/auth/login` does with `cookie`, and
        sends it to the page."""
        here, access = on()
        await admit(request)
        try:
            begun = _begun(here, request, returned, clock())
            identity = await _identity(here, begun, code, error, iss, clock)
            account = await identities.find(database, identity, address(request))
            if account is None:
                told = problems.ProblemError(403, f"no account here is linked to who {here.name} says you are")
                raise RefusalError(Kind.STRANGER, told, "no account", identity.known_as or identity.subject)
        except RefusalError as refusal:
            response = await refused(request, refusal)
        else:
            await access.keys.newest()  # it has to be there before the session begins
            refresh_token = await sessions.begin(database, account, address(request), "oidc")
            response = RedirectResponse(PAGE, 302)
            cookies.set_session(response, request, (await access.issue(account)).token, refresh_token)
        response.delete_cookie(STATE_COOKIE, FOLDER, httponly=True, samesite="lax")
        return response

    return routes


def _begun(oidc: Oidc, request: Request, returned: str, now_s: float) -> LogInState:
    begun = oidc.seal.open(request.cookies.get(STATE_COOKIE, ""), now_s)
    if begun is None or not begun.is_of(returned):
        told = ProblemError(400, "this log-in was not begun by this browser, or more than 10 minutes ago: begin anew")
        raise RefusalError(Kind.AGAIN, told, "state")
    return begun


async def _identity(
    oidc: Oidc, begun: LogInState, code: str, error: str, iss: str, clock: Callable[[], float]
) -> Identity:
    """Raises RefusalError."""
    provider = oidc.provider
    try:
        says_who = (await provider.metadata()).authorization_response_iss_parameter_supported
        if (iss or says_who) and iss != provider.client.issuer:
            raise RefusalError(Kind.REFUSED, problems.unknown("another provider sends you back"), "iss of the answer")
        if error or not code:
            raise RefusalError(Kind.REFUSED, problems.unknown(f"{oidc.name} did not log you in"), "no code")
        token = await provider.redeem(code, begun.verifier, begun.redirect_uri)
        key = await provider.key(id_token.kid_of(token))
        if key is None:
            raise IdTokenError("it is signed by no key the provider shows")
        expected = Expected(provider.client.issuer, provider.client.id, begun.nonce, oidc.claim)
        return id_token.verified(token, key, expected, clock())
    except (ProviderAwayError, ProviderFaultError) as failure:
        raise _unusable(oidc, failure) from None
    except CodeError:
        told = problems.unknown(f"{oidc.name} does not take this code, or not any more: begin anew")
        raise RefusalError(Kind.AGAIN, told, "code") from None
    except IdTokenError as wrong:
        log.warning("an ID token of the OpenID provider is not believed", reason=str(wrong))
        told = problems.unknown(f"what {oidc.name} says of you is not believed: {wrong}")
        raise RefusalError(Kind.REFUSED, told, f"ID token: {wrong}") from None


def _unusable(oidc: Oidc, failure: ProviderAwayError | ProviderFaultError) -> RefusalError:
    if isinstance(failure, ProviderAwayError):
        told = problems.away(f"{oidc.name} does not answer now; with a password one can log in all the same")
    else:
        told = ProblemError(502, f"{oidc.name} cannot be used: {failure}")
    return RefusalError(Kind.AWAY, told, str(failure))
