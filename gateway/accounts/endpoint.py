"""/api/v1/auth: logging in and out, and who one is; and the keys by which others may check our access tokens."""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems
from gateway.accounts import cookies, people, sessions
from gateway.accounts.attempts import OF_ACCOUNT, Attempts
from gateway.accounts.cookies import REFRESH_COOKIE
from gateway.accounts.passwords import LENGTH_MAX, CrowdError, Passwords
from gateway.accounts.people import Account
from gateway.accounts.sessions import End
from gateway.bodies import check_json, read_body
from gateway.database import Database
from gateway.problems import ProblemError
from gateway.security.audit_log import Entry
from gateway.security.gate import Gate
from gateway.security.limits import Limits, address
from gateway.security.principal import Principal, Role
from gateway.security.recorder import Recorder
from gateway.security.tokens import ACCESS_S, AccessTokens

Body = TypeVar("Body", bound=BaseModel)


class Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid")
    username: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=LENGTH_MAX)]
    cookie: Annotated[bool, Field(description="the tokens as cookies no script can read, as our page wants it")] = False


class Presented(BaseModel):
    model_config = ConfigDict(extra="forbid")
    refresh_token: Annotated[str | None, Field(max_length=100, description="null: it comes as a cookie")] = None


class LoggedIn(BaseModel):
    username: str
    expires_in_s: Annotated[int, Field(description="of the access token")]
    access_token: Annotated[str | None, Field(description="null: it is a cookie")]
    refresh_token: Annotated[str | None, Field(description="good once; null: it is a cookie")]


class Me(BaseModel):
    username: Annotated[str | None, Field(description="null: nobody logs in here")]
    display_name: str | None
    role: Role
    courses: Annotated[list[str] | None, Field(description="null: all")]
    teams: list[tuple[str, str]]
    student_id: str | None
    expires_at_s: Annotated[float | None, Field(description="of the access token, seconds since 1970")]


def router(
    database: Database,
    tokens: AccessTokens | None,
    gate: Gate,
    recorder: Recorder,
    limits: Limits,
    attempts: Attempts,
) -> APIRouter:
    """`tokens` None: nobody logs in, and these routes say so."""
    routes = APIRouter(tags=["auth"])
    passwords = Passwords()
    default: dict[int | str, dict[str, Any]] = {"default": problems.documented(500)[500]}
    refusals = problems.documented(400, 401, 403, 404, 408, 413, 415, 429, 503) | default

    def on() -> AccessTokens:
        if tokens is None:
            raise ProblemError(404, "nobody logs in here: CLASSPULSE_DASHBOARD_ACCESS is not `accounts`")
        return tokens

    async def answered(request: Request, account: Account, refresh_token: str, *, cookie: bool) -> Response:
        issued = await on().issue(account)
        said = LoggedIn(
            username=account.username,
            expires_in_s=ACCESS_S,
            access_token=None if cookie else issued.token,
            refresh_token=None if cookie else refresh_token,
        )
        response = Response(
            said.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"}
        )
        if cookie:
            cookies.set_session(response, request, issued.token, refresh_token)
        return response

    @routes.post(
        "/api/v1/auth/login",
        response_model=LoggedIn,
        responses=refusals,
        dependencies=[Depends(gate)],
        openapi_extra=_body(Credentials, {"username": "aoi", "password": "correct horse battery"}),
    )
    @limits.reads
    async def login(request: Request) -> Response:
        """An access token for 15 minutes, and a refresh token that gives the next. A wrong user name and a wrong
        password are answered alike, and as slowly."""
        on()
        given = _read(Credentials, await _json(request))
        username, origin = given.username.lower(), address(request)
        if (wait_ms := await attempts.begin(username, origin)) is not None:
            raise problems.limited(f"{OF_ACCOUNT} log-ins that fail", wait_ms)
        account = await people.find(database, username)
        try:
            fits = await passwords.fits(given.password, account.password if account else None)
        except CrowdError:
            raise problems.away("too many log in at this moment") from None
        if account is None or not fits:
            await attempts.failed(origin)
            recorder.note(Entry("", "login", username, origin, "refused"))
            raise problems.unknown("the user name or the password is wrong")
        await attempts.succeeded(username)
        return await answered(request, account, await sessions.begin(database, account, origin), cookie=given.cookie)

    @routes.post(
        "/api/v1/auth/refresh",
        response_model=LoggedIn,
        responses=refusals,
        dependencies=[Depends(gate)],
        openapi_extra=_body(Presented, {"refresh_token": "R2x2…"}, required=False),
    )
    @limits.reads
    async def refresh(request: Request) -> Response:
        """The next access token and the next refresh token; the one shown is used up. Shown again, it ends the
        session."""
        on()
        shown, cookie = await _presented(request)
        if not shown:
            raise problems.unknown("a refresh token is needed")
        await on().keys.newest()  # it has to be there before the token is used up
        found = await sessions.renew(database, shown, address(request))
        if isinstance(found, End):
            raise problems.unknown(found.value)
        return await answered(request, found.account, found.refresh_token, cookie=cookie)

    @routes.post(
        "/api/v1/auth/logout",
        status_code=204,
        responses=refusals,
        dependencies=[Depends(gate)],
        openapi_extra=_body(Presented, {"refresh_token": "R2x2…"}, required=False),
    )
    @limits.reads
    async def logout(request: Request) -> Response:
        """Ends the session of the refresh token, and takes the cookies away. The access token is good until it
        expires."""
        on()
        shown, _ = await _presented(request)
        if shown:
            await sessions.end(database, shown, address(request))
        response = Response(status_code=204)
        cookies.end_session(response)
        return response

    @routes.get("/api/v1/auth/me", responses=problems.documented(401, 403, 429, 503))
    @limits.reads
    async def me(request: Request, who: Annotated[Principal, Depends(gate)]) -> Me:  # noqa: ARG001 -- the limit's
        """Who the access token says one is."""
        account = await people.find(database, who.name) if who.name and not who.by_key else None
        return Me(
            username=who.name or None,
            display_name=account.display_name if account else None,
            role=who.role,
            courses=None if who.courses is None else sorted(who.courses),
            teams=sorted(who.teams),
            student_id=who.student_id,
            expires_at_s=who.expires_s,
        )

    @routes.get("/.well-known/jwks.json", responses=problems.documented(404, 429, 503))
    @limits.reads
    async def jwks(request: Request) -> dict[str, list[dict[str, Any]]]:  # noqa: ARG001 -- the limit's
        """The public keys of access tokens (RFC 7517), the newest first."""
        return {"keys": await on().keys.public()}

    return routes


async def _json(request: Request) -> bytes:
    check_json(request)
    return await read_body(request)


async def _presented(request: Request) -> tuple[str | None, bool]:
    """The refresh token, and whether it came as a cookie."""
    body = await read_body(request)
    if body:
        check_json(request)
    shown = _read(Presented, body or b"{}").refresh_token
    return (shown, False) if shown else (request.cookies.get(REFRESH_COOKIE), True)


def _read(model: type[Body], body: bytes) -> Body:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise problems.invalid(error.errors()) from None


def _body(model: type[BaseModel], example: dict[str, str], *, required: bool = True) -> dict[str, Any]:
    """For OpenAPI; the body is read bounded, which FastAPI would not do."""
    content = {"schema": model.model_json_schema(), "examples": {"one": {"value": example}}}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}
