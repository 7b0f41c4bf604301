"""Rate limits, as slowapi declares them on routes. Counted in this process's memory: each process counts for itself."""

import hashlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from limits import parse, parse_many
from slowapi import Limiter
from starlette.requests import Request

from gateway import problems

# Requests of one address with keys that are nobody's. Each asks PostgreSQL; a key that was mistyped or revoked is found
# out by the first of them, and a producer who tries on once a second is still told why.
STRANGERS = parse("60/minute")

_STRANGERS = "unknown keys"  # the count's name

Route = TypeVar("Route", bound=Callable[..., Any])


class Limits:
    """`@limits.events` on the door's route, `@limits.reads` on those of the dashboard's API (below `@routes.get(...)`;
    the function takes `request: Request`). The app is told by `app.state.limiter = limits.limiter`."""

    def __init__(self, events: str, reads: str, known: Callable[[str], bool]) -> None:
        """Each like "6000/minute", or several with ";" between. Raises ValueError where it is not. `known`: whether a
        presented key is one that was found good lately."""
        for text in (events, reads):
            try:
                parse_many(text)
            except ValueError as error:  # slowapi would log it, and let everything through
                raise ValueError(f"rate limit {text!r}: {error}") from None
        self._known = known
        self.limiter = Limiter(key_func=_address)
        self.limiter.logger.setLevel(logging.ERROR)  # it warns of each refused request: a flood would flood the log too
        self.events: Callable[[Route], Route] = self.limiter.shared_limit(
            events, scope="events", key_func=self._producer
        )
        self.reads: Callable[[Route], Route] = self.limiter.shared_limit(
            reads, scope="reads"
        )  # all routes together, whatever their path

    def admit(self, request: Request) -> None:
        """Before PostgreSQL is asked about a key. Raises ProblemError 429 for an address that showed too many bad ones;
        known keys are not touched by it."""
        key, address = presented_key(request), _address(request)
        if key and not self._known(key) and not self.limiter.limiter.test(STRANGERS, _STRANGERS, address):
            reset_at_s, _ = self.limiter.limiter.get_window_stats(STRANGERS, _STRANGERS, address)
            raise problems.limited(f"{STRANGERS} with unknown keys", reset_at_s)

    def strange(self, request: Request) -> None:
        """Counts a key that is nobody's; not before that is certain, which it is not while PostgreSQL is away."""
        self.limiter.limiter.hit(STRANGERS, _STRANGERS, _address(request))

    def _producer(self, request: Request) -> str:
        """By a digest, as keys are not to lie about. Keys not known yet share their address's count: made-up ones would
        each bring its own."""
        key = presented_key(request)
        return f"key:{hashlib.sha256(key.encode()).hexdigest()}" if key and self._known(key) else _address(request)


def presented_key(request: Request) -> str | None:
    """The API key of `Authorization: Bearer KEY`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
