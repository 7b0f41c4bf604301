"""How long routes take, by name, of the last periods, in a bounded table; and the loop's lag in figures."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY
from starlette.types import Message, Receive, Scope, Send

from gateway.oncall.pulse import LoopLag, summed
from gateway.oncall.timing import NONE, OTHERS, PERIOD_S, ROUTES_MAX, Timed, Timings
from gateway.telemetry import OTHER


class Route:
    path_format = "/api/{id}"


def counted(route: Any, status: int) -> tuple[float, float]:
    """As Prometheus scrapes it: how many, and how long they took."""
    labels = {"route": OTHER if route is None else route.path_format, "method": "GET"}
    number = REGISTRY.get_sample_value(
        "classpulse_http_requests_total", {**labels, "status_class": f"{status // 100}xx"}
    )
    took_s = REGISTRY.get_sample_value("classpulse_http_request_duration_seconds_sum", labels)
    return number or 0.0, took_s or 0.0


def test_what_took_longest_in_all_comes_first_and_is_forgotten_after_two_periods() -> None:
    timings = Timings()
    timings.add("GET /a", 0.3, False, 1)
    for _ in range(4):
        timings.add("GET /b", 0.1, True, 2)
    rows = timings.figures(3)
    assert [(row.route, row.spread.count, row.failed, row.worst_s) for row in rows] == [
        ("GET /b", 4, 4, 0.1),
        ("GET /a", 1, 0, 0.3),
    ]
    timings.add("GET /a", 2.0, False, PERIOD_S + 3)
    assert [(row.route, row.spread.count) for row in timings.figures(PERIOD_S + 3)] == [("GET /a", 2), ("GET /b", 4)]
    assert timings.of(["GET /a", "GET /none"], PERIOD_S + 3).count == 2
    assert [row.route for row in timings.figures(2 * PERIOD_S + 3)] == ["GET /a"]
    assert timings.figures(9 * PERIOD_S) == []


def test_the_table_is_bounded() -> None:
    timings = Timings()
    for number in range(ROUTES_MAX + 10):
        timings.add(f"GET /{number}", 0.1, False, 1)
    rows = {row.route: row.spread.count for row in timings.figures(1)}
    assert (len(rows), rows[OTHERS]) == (ROUTES_MAX + 1, 10)


@pytest.mark.parametrize(
    ("status", "route", "named", "failed"),
    [(200, Route(), "GET /api/{id}", 0), (503, Route(), "GET /api/{id}", 1), (404, None, NONE, 0)],
)
async def test_a_request_is_timed_until_its_answer_begins(status: int, route: Any, named: str, failed: int) -> None:
    timings, sent = Timings(), list[Message]()
    now_s = [1.0]

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        if route is not None:
            scope["route"] = route
        assert timings.under_way == 1
        now_s[0] = 1.25
        await send({"type": "http.response.start", "status": status, "headers": []})
        now_s[0] = 99.0
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    before = counted(route, status)
    await Timed(app, timings, lambda: now_s[0])({"type": "http", "method": "GET"}, receive, send)
    number, took_s = counted(route, status)
    assert (number, took_s) == (before[0] + 1, before[1] + 0.25)
    (row,) = timings.figures(2.0)
    assert (row.route, row.worst_s, row.failed, timings.under_way) == (named, 0.25, failed, 0)
    assert len(sent) == 2


@pytest.mark.parametrize(("error", "answered"), [(ValueError("x"), 1), (asyncio.CancelledError("x"), 0)])
async def test_one_that_fails_is_counted(error: BaseException, answered: int) -> None:
    timings = Timings()

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        scope["route"] = Route()
        raise error

    async def nothing(*_: Any) -> Any: ...

    before = counted(Route(), 500)
    with pytest.raises(type(error), match="x"):
        await Timed(app, timings, lambda: 1.0)({"type": "http", "method": "GET"}, nothing, nothing)
    (row,) = timings.figures(1.0)
    assert (row.failed, timings.under_way) == (1, 0)
    assert counted(Route(), 500)[0] == before[0] + answered, "whoever has gone is answered nothing"


def test_the_loop_s_lag() -> None:
    assert summed([]) is None
    assert summed([0.5, 0.1, 0.2]) == LoopLag(0.2, 0.2, 0.5, 0.5)
