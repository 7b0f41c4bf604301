"""Rate limits, as slowapi declares them on routes. Counted in this process's memory: each process counts for itself."""

import hashlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from limits import parse_many
from slowapi import Limiter
from starlette.requests import Request

Route = TypeVar("Route", bound=Callable[..., Any])


class Limits:
    """`@limits.events` on the door's route, `@limits.reads` on those of the dashboard's API (below `@routes.get(...)`;
    the function takes `request: Request`). The app is told by `app.state.limiter = limits.limiter`."""

    def __init__(self, events: str, reads: str) -> None:
        """Each like "6000/minute", or several with ";" between. Raises ValueError where it is not."""
        for text in (events, reads):
            try:
                parse_many(text)
            except ValueError as error:  # slowapi would log it, and let everything through
                raise ValueError(f"rate limit {text!r}: {error}") from None
        self.limiter = Limiter(key_func=_address)
        self.limiter.logger.setLevel(logging.ERROR)  # it warns of each refused request: a flood would flood the log too
        self.events: Callable[[Route], Route] = self.limiter.shared_limit(events, scope="events", key_func=_producer)
        self.reads: Callable[[Route], Route] = self.limiter.shared_limit(
            reads, scope="reads"
        )  # all routes together, whatever their path


def presented_key(request: Request) -> str | None:
    """The API key of `Authorization: Bearer KEY`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _producer(request: Request) -> str:
    """By a digest of the key, known or not: limits come before PostgreSQL is asked, and keys do not lie about."""
    key = presented_key(request)
    return f"key:{hashlib.sha256(key.encode()).hexdigest()}" if key else _address(request)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
