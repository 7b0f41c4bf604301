"""What a request is found again by: its id in the answer and the log, and its trace where it has one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
import structlog
from collecting import Collector, collecting
from fastapi import FastAPI
from starlette.requests import Request

from gateway import correlation
from gateway.correlation import Correlated, Correlation
from traces.tracer import OFF, Tracer

ASKED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@asynccontextmanager
async def door(tracer: Tracer, share: float) -> AsyncIterator[httpx.AsyncClient]:
    """Tells what it knows of a request."""
    app, found = FastAPI(), Correlation(tracer, share)

    @app.post("/events/{name}")
    async def post(request: Request, name: str) -> dict[str, str]:
        if name != "stranger":
            found.admitted(request)
        if name == "broken":
            raise RuntimeError("our bug")
        bound = structlog.contextvars.get_contextvars()
        return {"current": str(correlation.current()), **{key: str(value) for key, value in bound.items()}}

    app.add_middleware(Correlated, traced=tracer.on)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        yield client


async def test_a_request_has_an_id_which_its_client_may_choose() -> None:
    async with door(OFF, 1) as client:
        mine = await client.post("/events/a", headers={"X-Request-ID": "lesson-7.b"})
        assert mine.headers["X-Request-ID"] == "lesson-7.b"
        assert mine.json() == {"current": "None", "request_id": "lesson-7.b"}
        for bad in ("", "a b", "x" * 65, '{"level":1}'):
            one = await client.post("/events/a", headers={"X-Request-ID": bad, "traceparent": ASKED})
            assert one.json() == {"current": "None", "request_id": one.headers["X-Request-ID"]}
            assert one.headers["X-Request-ID"] != bad
        assert (await client.get("/nothing")).headers["X-Request-ID"]
    assert structlog.contextvars.get_contextvars() == {}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


async def test_a_trace_is_begun_for_whom_we_know(collector: Collector) -> None:
    tracer = Tracer(collector.url, "classpulse-gateway")
    async with door(tracer, 0) as client:
        assert "trace_id" not in (await client.post("/events/stranger", headers={"traceparent": ASKED})).json()
        for bad in ("", "nonsense", ASKED.upper(), ASKED[:-1] + "0"):  # the last one: not sampled
            assert "trace_id" not in (await client.post("/events/a", headers={"traceparent": bad})).json()
        told = (await client.post("/events/a", headers={"traceparent": ASKED})).json()
        await client.post("/events/broken", headers={"traceparent": ASKED})
    await tracer.close()
    one, broken = collector.spans
    assert told["trace_id"] == one.trace_id == ASKED.split("-")[1]
    assert told["current"] == f"00-{one.trace_id}-{one.span_id}-01"
    assert (one.name, one.parent_id) == ("POST /events/{name}", ASKED.split("-")[2])
    assert one.attributes == {
        "http.request.method": "POST",
        "http.route": "/events/{name}",
        "url.scheme": "http",
        "http.response.status_code": 200,
    }
    assert (broken.failed, broken.attributes["http.response.status_code"]) == (True, 500)


async def test_a_share_is_traced_whatever_comes_with_it(collector: Collector) -> None:
    tracer = Tracer(collector.url, "classpulse-gateway")
    async with door(tracer, 1) as client:
        for headers in ({}, {"traceparent": "nonsense"}):
            assert (await client.post("/events/a", headers=headers)).json()["trace_id"]
    await tracer.close()
    assert [span.parent_id for span in collector.spans] == ["", ""]
