"""The cookies by which a browser is logged in; no script can read them."""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from gateway.accounts.sessions import SESSION_S
from gateway.security.gate import ACCESS_COOKIE
from gateway.security.tokens import ACCESS_S

REFRESH_COOKIE = "classpulse_refresh"
FOLDER = "/api/v1/auth"  # nowhere else is the refresh token sent


def set_session(response: Response, request: Request, access_token: str, refresh_token: str) -> None:
    put(response, request, ACCESS_COOKIE, access_token, "/", ACCESS_S)
    put(response, request, REFRESH_COOKIE, refresh_token, FOLDER, int(SESSION_S))


def end_session(response: Response) -> None:
    for name, folder in ((ACCESS_COOKIE, "/"), (REFRESH_COOKIE, FOLDER)):
        response.delete_cookie(name, folder, httponly=True, samesite="strict")


def put(
    response: Response,
    request: Request,
    name: str,
    value: str,
    path: str,
    max_age_s: int,
    same_site: Literal["strict", "lax"] = "strict",
) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age_s, path=path, secure=secure, httponly=True, samesite=same_site)
