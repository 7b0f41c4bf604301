"""How long each route takes until its answer begins: of streams, and of answers that take long to be read, only that.

Of the last 5 to 10 minutes: what is told is what was counted in the present period and in the one before.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import telemetry
from gateway.oncall.spread import NOTHING, Spread, Tally

PERIOD_S = 300.0
ROUTES_MAX = 200  # of names that the app has; others are counted together
OTHERS = "others"
NONE = "no route"


class Figures(NamedTuple):
    route: str
    spread: Spread
    worst_s: float
    failed: int  # answered 500 or more, or not at all


@dataclass
class _Row:
    tally: Tally = field(default_factory=Tally)
    failed: int = 0


class Timings:
    """Pure; times are monotonic seconds."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._before: dict[str, _Row] = {}
        self._since_s = 0.0
        self.under_way = 0

    def add(self, route: str, took_s: float, failed: bool, now_s: float) -> None:
        self._turn(now_s)
        row = self._rows.get(route)
        if row is None:
            route = route if len(self._rows) < ROUTES_MAX else OTHERS
            row = self._rows.setdefault(route, _Row())
        row.tally.add(took_s)
        row.failed += failed

    def figures(self, now_s: float) -> list[Figures]:
        """Those that took longest in all first."""
        self._turn(now_s)
        found = []
        for route in self._rows.keys() | self._before.keys():
            rows = [rows[route] for rows in (self._rows, self._before) if route in rows]
            spread = sum((row.tally.spread() for row in rows), NOTHING)
            worst_s = max(row.tally.worst_s for row in rows)
            found.append(Figures(route, spread, worst_s, sum(row.failed for row in rows)))
        return sorted(found, key=lambda one: (-one.spread.total_s, one.route))

    def of(self, routes: Iterable[str], now_s: float) -> Spread:
        """These together."""
        wanted = set(routes)
        return sum((one.spread for one in self.figures(now_s) if one.route in wanted), NOTHING)

    def _turn(self, now_s: float) -> None:
        if now_s - self._since_s >= PERIOD_S:
            self._before = self._rows if now_s - self._since_s < 2 * PERIOD_S else {}
            self._rows, self._since_s = {}, now_s


class Timed:
    """ASGI: `app.add_middleware(Timed, timings=...)`, outside of what answers by itself. Counts for Prometheus too."""

    def __init__(self, app: ASGIApp, timings: Timings, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._timings = timings
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began_s = self._clock()
        begun = False

        def note(status: int | None) -> None:
            """None: there is no answer, and nobody to get one."""
            nonlocal begun
            begun = True
            self._timings.under_way -= 1
            now_s = self._clock()
            # By its template, which FastAPI leaves there: as it was asked there are as many as students.
            path, method = getattr(scope.get("route"), "path_format", None), scope["method"]
            name = NONE if path is None else f"{method} {path}"
            self._timings.add(name, now_s - began_s, status is None or status >= 500, now_s)
            if status is not None:
                telemetry.count(telemetry.OTHER if path is None else path, method, status, now_s - began_s)

        async def timed(message: Message) -> None:
            if not begun and message["type"] == "http.response.start":
                note(message["status"])
            await send(message)

        self._timings.under_way += 1
        try:
            await self._app(scope, receive, timed)
        except Exception:
            if not begun:  # whoever is around us answers 500
                note(500)
            raise
        finally:
            if not begun:
                note(None)
        return None
