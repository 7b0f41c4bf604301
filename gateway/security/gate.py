"""Lets in who may call a route, as `permissions.TABLE` says it. A dependency of routes, which get the Principal."""

from starlette.requests import HTTPConnection, Request

from gateway import problems
from gateway.problems import ProblemError
from gateway.security.access import DashboardAccess
from gateway.security.audit_log import Entry
from gateway.security.keys import MARK
from gateway.security.limits import address, presented_key
from gateway.security.permissions import PIPELINE, TABLE, Rule
from gateway.security.principal import ANYONE, Principal, Role, Rostered
from gateway.security.recorder import Recorder
from gateway.security.roles import KeyAccess
from gateway.security.tokens import AccessTokens, TokenError
from wire.frames import ONCALL
from wire.scopes import Scope, ScopeKind

ACCESS_COOKIE = "classpulse_access"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    def __init__(
        self,
        access: DashboardAccess,
        admins: KeyAccess,
        tokens: AccessTokens | None,
        copy: Rostered,
        recorder: Recorder,
    ) -> None:
        """`tokens` None: nobody logs in."""
        self._access = access
        self._admins = admins
        self._tokens = tokens
        self._copy = copy
        self._recorder = recorder

    async def __call__(self, request: Request) -> Principal:
        """Raises ProblemError 401, 403 or 429; DatabaseAwayError where it cannot be told."""
        method = "GET" if request.method == "HEAD" else request.method
        return await self.admit(request, f"{method} {request.scope['route'].path_format}")

    async def admit(self, connection: HTTPConnection, route: str) -> Principal:
        """`route`: as TABLE has it. Raises as calling it does."""
        rule = TABLE[route]
        open_ = self._tokens is None and (Role.TEACHER in (rule.roles or ()) or (rule.shown and not _shown(connection)))
        if rule.roles is None or open_:
            self._from_our_page(connection)
            return ANYONE
        who = await self._who(connection, rule)
        if who.role not in rule.roles:
            self._recorder.seen(Entry(who.who, route, origin=address(connection), result="refused"))
            raise ProblemError(403, f"the role {who.role} may not: {route} is for {', '.join(sorted(rule.roles))}")
        connection.state.caller = who.who
        return who

    def refusal(self, who: Principal, scope: Scope | None, what: str, origin: str) -> str | None:
        """Why he may not see that; None: he may, and where it is about one student, it is recorded. `scope` None: how
        the whole runs. Raises DatabaseAwayError."""
        if scope is None:
            roles = TABLE[PIPELINE].roles or frozenset()
            if who is ANYONE or who.role in roles:
                return None
            self._recorder.seen(Entry(who.who, what, ONCALL, origin, "refused"))
            return f"the role {who.role} may not: {ONCALL} is for {', '.join(sorted(roles))}"
        if who.may_see(scope, self._copy):
            if scope.kind is ScopeKind.STUDENT:
                self.read(who, what, str(scope), origin)
            return None
        self._recorder.seen(Entry(who.who, what, str(scope), origin, "refused"))
        return f"{who.name!r} may not see {scope}"

    def check(self, request: Request, who: Principal, scope: Scope, what: str) -> None:
        """Raises ProblemError 403, DatabaseAwayError."""
        if (reason := self.refusal(who, scope, what, address(request))) is not None:
            raise ProblemError(403, reason)

    def read(self, who: Principal, what: str, whom: str, origin: str) -> None:
        """What is about students; where nobody logs in, there is nobody to name."""
        if who.who:
            self._recorder.seen(Entry(who.who, what, whom, origin))

    async def _who(self, connection: HTTPConnection, rule: Rule) -> Principal:
        shown = _shown(connection)
        by_cookie = not shown and self._tokens is not None
        if by_cookie:
            shown = connection.cookies.get(ACCESS_COOKIE, "")
        if isinstance(connection, Request) and not by_cookie and (self._tokens is None or shown.startswith(MARK)):
            key = await self._admins(connection)
            return Principal(key.name, Role.ADMIN, courses=None, by_key=True)
        if by_cookie or Role.TEACHER in (rule.roles or ()):
            self._from_our_page(connection)
        if self._tokens is None or not shown:
            raise problems.unknown("log in, or show an access token or an admin's API key: Authorization: Bearer TOKEN")
        if by_cookie and connection.scope.get("method", "GET") not in _SAFE and "origin" not in connection.headers:
            raise ProblemError(403, "with a cookie, what changes something must say its Origin")
        try:
            return await self._tokens.verify(shown)
        except TokenError as error:
            raise problems.unknown(str(error)) from None

    def _from_our_page(self, connection: HTTPConnection) -> None:
        if (reason := self._access.refusal(connection)) is not None:
            raise ProblemError(403, reason)


def _shown(connection: HTTPConnection) -> str:
    """A token, or a key. By `Basic` only a key of ours: other passwords are for a proxy before us, and the browser that
    sends one has a cookie for us beside it."""
    shown = presented_key(connection) or ""
    scheme = connection.headers.get("authorization", "").partition(" ")[0]
    return shown if scheme.lower() == "bearer" or shown.startswith(MARK) else ""
