"""Rate limits: declared on routes as slowapi has it, and counted by us, for all gateways together (shared_windows.py).

slowapi only declares: its own counting would hold up the loop, takes one cost a request, and knows no WebSockets.
"""

import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import lru_cache, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from limits import parse, parse_many
from slowapi import Limiter
from slowapi.wrappers import Limit
from starlette.requests import HTTPConnection, Request

from gateway import problems
from gateway.problems import ProblemError
from gateway.security.keys import ApiKey
from gateway.security.rate_headers import Standing, note
from gateway.security.shared_windows import SharedWindows
from gateway.security.windows import KEPT_MAX, Count, Window, Windows

# Requests of one address with keys that are nobody's. Each asks PostgreSQL; a key that was mistyped or revoked is found
# out by the first of them, and a producer who tries on once a second is still told why.
STRANGERS = parse("60/minute")

P = ParamSpec("P")
R = TypeVar("R")
Route = TypeVar("Route", bound=Callable[..., Any])


class Rates(NamedTuple):
    """Each like "6000/minute", or several with ";" between."""

    events: str  # of one API key that has no rate of its own
    events_per_address: str
    reads: str  # requests of one address
    reads_per_user: str
    handshakes: str  # WebSockets begun by one address


class Full(NamedTuple):
    window: Window
    until_ms: int  # monotonic


class Limits:
    """`@limits.events` on the ways in, `@limits.reads` on the routes of the dashboard's API (below `@routes.get(...)`;
    the function takes `request: Request`). A way in asks `refuse_full` before it reads a body, and `spend_events` once
    it knows how many events that has."""

    def __init__(self, rates: Rates, known: Callable[[str], bool], shared: SharedWindows) -> None:
        """Raises ValueError where a rate cannot be read. `known`: whether a presented key is one that was found good
        lately. `shared` is started and stopped by whoever made it."""
        for name, text in rates._asdict().items():
            try:
                parse_many(text)
            except ValueError as error:  # slowapi would log it, and let everything through
                raise ValueError(f"rate limit {name} {text!r}: {error}") from None
        self._rates = rates
        self._known = known
        self._shared = shared
        self._limiter = Limiter(key_func=address)
        self._declare_events = self._limiter.shared_limit(rates.events, scope="events")
        self._declare_reads = (
            self._limiter.shared_limit(rates.reads, scope="reads"),  # all routes together, whatever their path
            self._limiter.shared_limit(rates.reads_per_user, scope="reads-per-user", key_func=caller),
        )
        self._strangers = Windows()
        self._full: OrderedDict[str, Full] = OrderedDict()  # windows without any room, by their keys

    @property
    def away(self) -> str | None:
        """Why each process counts for itself now; None where they count together."""
        return self._shared.away

    @property
    def rates(self) -> Rates:
        return self._rates

    def full(self) -> list[tuple[Window, int]]:
        """Windows that are known to have no room, each with the ms until it has; who must wait longest first. Of what
        this process was asked."""
        now_ms = _now_ms()
        left = [(full.window, full.until_ms - now_ms) for full in self._full.values() if full.until_ms > now_ms]
        return sorted(left, key=lambda one: (-one[1], one[0].key))

    def events(self, route: Route) -> Route:
        """Says so; what it costs only the route can know."""
        self._declare_events(route)
        return route

    def reads(self, route: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        for declare in self._declare_reads:
            declare(route)
        declared: list[Limit] = self._limiter._route_limits[f"{route.__module__}.{route.__name__}"]

        @wraps(route)
        async def limited(*arguments: P.args, **named: P.kwargs) -> R:
            request: Any = named["request"]
            asked = [(limit, limit.key_func(request)) for limit in declared]
            await self._spend(request, [Window(limit.scope, whose, limit.limit) for limit, whose in asked if whose])
            return await route(*arguments, **named)

        return limited

    def refuse_full(self, request: Request, key: ApiKey) -> None:
        """Before a body is read: raises ProblemError 429 where it is known that not one event has room."""
        self._refuse_full(request, self._event_windows(request, key))

    async def spend_events(self, request: Request, key: ApiKey, events: int) -> None:
        """Before they are published. Raises ProblemError 429 (413 where so many never have room at once): then none may
        be. A body without events costs one."""
        await self._spend(request, self._event_windows(request, key), max(1, events))

    async def spend_handshake(self, connection: HTTPConnection) -> None:
        """Before a WebSocket is accepted. Raises ProblemError 429."""
        await self._spend(connection, _windows("handshakes", address(connection), self._rates.handshakes))

    def admit(self, request: Request) -> None:
        """Before PostgreSQL is asked about a key. Raises ProblemError 429 for an address that showed too many bad ones;
        known keys are not touched by it. Each process counts for itself, as each asks PostgreSQL for itself."""
        key, window = presented_key(request), _strangers(request)
        if key and not self._known(key):
            count = self._strangers.look(window, _now_ms())
            if not count.room(window):
                self._remember_full(window, count)
                raise problems.limited(f"{STRANGERS} with unknown keys", count.wait_ms(window, 1))

    def strange(self, request: Request) -> None:
        """Counts a key that is nobody's; not before that is certain, which it is not while PostgreSQL is away."""
        self._strangers.take([_strangers(request)], 1, _now_ms())

    def _event_windows(self, request: Request, key: ApiKey) -> tuple[Window, ...]:
        whose = address(request)
        own = _windows("events", f"key:{key.name}", self._rates.events if key.rate is None else key.rate)
        return own + _windows("events-per-address", whose, self._rates.events_per_address)

    async def _spend(self, connection: HTTPConnection, windows: Sequence[Window], cost: int = 1) -> None:
        self._refuse_full(connection, windows)
        for window in windows:
            if cost > window.amount:
                detail = f"{cost} at once, where {window.rate} are allowed: send {window.amount} at most"
                raise ProblemError(413, detail)
        fits, counts = await self._shared.take(windows, cost)
        standing = list(zip(windows, counts, strict=True))
        note(connection, [Standing(window, count.room(window), count.left_ms) for window, count in standing])
        for window, count in standing:
            if not count.room(window):
                self._remember_full(window, count)
        if not fits:
            wait_ms, rate = max((count.wait_ms(window, cost), window.rate) for window, count in standing)
            raise problems.limited(str(rate), wait_ms)

    def _refuse_full(self, connection: HTTPConnection, windows: Sequence[Window]) -> None:
        """By what is remembered: others only add to a window, so it stays full. Who goes on all the same costs neither
        a question to Redis nor a body read in vain."""
        now_ms = _now_ms()
        for window in windows:
            full = self._full.get(window.key)
            if full is not None and (wait_ms := full.until_ms - now_ms) > 0:
                note(connection, [Standing(window, 0, wait_ms)])
                raise problems.limited(str(window.rate), wait_ms)

    def _remember_full(self, window: Window, count: Count) -> None:
        self._full[window.key] = Full(window, _now_ms() + count.wait_ms(window, 1))
        self._full.move_to_end(window.key)
        if len(self._full) > KEPT_MAX:
            self._full.popitem(last=False)


def presented_key(connection: HTTPConnection) -> str | None:
    """The API key of `Authorization: Bearer KEY`, or of `Basic`, where it is the password of whatever user."""
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):  # not base64, or not UTF-8
            return b64decode(given.strip(), validate=True).decode().partition(":")[2] or None
    return given.strip() or None if scheme.lower() == "bearer" else None


def address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else "unknown"


def caller(connection: HTTPConnection) -> str | None:
    """Who asks, where it is known; whoever finds it out sets `connection.state.caller`, to "key:NAME" or the like."""
    return getattr(connection.state, "caller", None)


@lru_cache(KEPT_MAX)
def _windows(policy: str, of: str, rates: str) -> tuple[Window, ...]:
    return tuple(Window(policy, of, rate) for rate in parse_many(rates))


def _strangers(connection: HTTPConnection) -> Window:
    return Window("unknown-keys", address(connection), STRANGERS)


def _now_ms() -> int:
    return int(time.monotonic() * 1_000)
