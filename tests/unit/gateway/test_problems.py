"""Every error is a problem, whoever raised it; a limit says when to go on."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import Request

from gateway import problems
from gateway.database import DatabaseAwayError
from gateway.security.keys import ApiKey, Role
from gateway.security.limits import Limits, Rates
from gateway.security.rate_headers import RateHeaders
from gateway.security.shared_windows import SharedWindows


def _kim(request: Request) -> None:
    request.state.caller = "kim"


RATES = Rates(
    events="20/minute;1000/hour",
    events_per_address="50/minute",
    reads="2/hour",
    reads_per_user="1/hour",
    handshakes="1/second",
)


def _in_memory() -> SharedWindows:
    """Not started: it counts here."""
    return SharedWindows("redis://127.0.0.1:1/0", wait_s=1)


def _key(name: str, rate: str | None = None) -> ApiKey:
    return ApiKey(name, "cp_", Role.PRODUCER, None, datetime.now(UTC), None, rate)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    limits = Limits(RATES, lambda _: False, _in_memory())
    problems.install(app)
    app.add_middleware(RateHeaders)

    @app.get("/number")
    async def number(n: int) -> int:
        return n

    @app.get("/raise")
    async def raise_(what: str) -> None:
        raise {
            "teapot": HTTPException(418, "\ud800", {"X-Kind": "green"}),
            "more": problems.ProblemError(422, "all bad", results=[{"index": 0}]),
            "away": DatabaseAwayError("PostgreSQL at h:1/d: no answer in time"),
            "bug": ZeroDivisionError("secret"),
        }[what]

    @app.post("/events")
    @limits.events
    async def events(request: Request, key: str, n: int, rate: str | None = None) -> str:
        limits.refuse_full(request, _key(key, rate))
        await limits.spend_events(request, _key(key, rate), n)
        return "accepted"

    @app.get("/reads/{path}")
    @limits.reads
    async def reads(request: Request, path: str) -> str:
        return f"{path} {request.url}"

    @app.get("/mine", dependencies=[Depends(_kim)])
    @limits.reads
    async def mine(request: Request) -> str:
        return str(request.url)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as connected:
        yield connected


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == "about:blank"
    return body


async def test_what_nobody_explained_is_explained(client: httpx.AsyncClient) -> None:
    missing = problem(await client.get("/nowhere"))
    assert (missing["title"], missing["detail"]) == ("Not Found", "there is nothing at /nowhere")
    wrong = await client.delete("/number")
    assert problem(wrong)["detail"] == "/number does not take DELETE"
    assert wrong.headers["allow"] == "GET"


async def test_a_bad_parameter_is_named(client: httpx.AsyncClient) -> None:
    body = problem(await client.get("/number?n=x"))
    assert body["status"] == 400
    assert body["errors"][0]["field"] == "n"
    assert body["detail"].startswith("n: Input should be a valid integer")


async def test_what_was_raised_is_told_with_its_headers_and_extensions(client: httpx.AsyncClient) -> None:
    teapot = await client.get("/raise?what=teapot")
    assert problem(teapot)["detail"] == "\ud800"
    assert teapot.headers["x-kind"] == "green"
    assert problem(await client.get("/raise?what=more"))["results"] == [{"index": 0}]


async def test_postgresql_away_says_when_to_come_again(client: httpx.AsyncClient) -> None:
    response = await client.get("/raise?what=away")
    assert problem(response)["status"] == 503
    assert int(response.headers["retry-after"]) > 0


async def test_a_bug_of_ours_tells_nothing_of_itself(client: httpx.AsyncClient) -> None:
    response = await client.get("/raise?what=bug")
    assert problem(response)["status"] == 500
    assert "secret" not in response.text


async def post(client: httpx.AsyncClient, key: str, n: int, rate: str | None = None) -> httpx.Response:
    asked = {"key": key, "n": str(n)}
    return await client.post("/events", params=asked if rate is None else {**asked, "rate": rate})


async def test_each_key_has_its_events_and_the_answer_says_when_to_go_on(client: httpx.AsyncClient) -> None:
    assert [(await post(client, "a", 10)).status_code for _ in range(2)] == [200, 200]
    limited = await post(client, "a", 1)
    assert 1 <= int(limited.headers["retry-after"]) <= 120
    assert problem(limited)["detail"].startswith("more than 20 per 1 minute; go on in ")
    assert problem(limited)["status"] == 429
    assert (await post(client, "b", 1)).status_code == 200


async def test_a_body_that_does_not_fit_costs_nothing_and_a_smaller_one_goes_in(client: httpx.AsyncClient) -> None:
    assert (await post(client, "a", 15)).status_code == 200
    assert problem(await post(client, "a", 6))["status"] == 429
    assert (await post(client, "a", 5)).status_code == 200


async def test_a_body_that_never_fits_is_413_and_says_what_does(client: httpx.AsyncClient) -> None:
    refused = problem(await post(client, "a", 21))
    assert (refused["status"], refused["detail"]) == (
        413,
        "21 at once, where 20 per 1 minute are allowed: send 20 at most",
    )


async def test_a_key_may_have_a_rate_of_its_own(client: httpx.AsyncClient) -> None:
    assert [(await post(client, "a", 3, "5/minute")).status_code for _ in range(2)] == [200, 429]
    assert (await post(client, "b", 30, "40/minute")).status_code == 200


async def test_the_keys_of_an_address_share_its_events(client: httpx.AsyncClient) -> None:
    answers = [await post(client, key, 20) for key in "abc"]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert problem(answers[2])["detail"].startswith("more than 50 per 1 minute")
    assert (await post(client, "c", 10)).status_code == 200  # the refused ones were not counted


async def test_the_headers_tell_each_window_and_what_is_left_of_it(client: httpx.AsyncClient) -> None:
    headers = (await post(client, "a", 8)).headers
    assert headers["ratelimit-policy"] == (
        '"events-60s";q=20;w=60;qu="events", "events-3600s";q=1000;w=3600;qu="events", '
        '"events-per-address-60s";q=50;w=60;qu="events"'
    )
    assert (
        headers["ratelimit"]
        == '"events-60s";r=12;t=60, "events-3600s";r=992;t=3600, "events-per-address-60s";r=42;t=60'
    )
    await post(client, "a", 12)
    for refused in (await post(client, "a", 1), await post(client, "a", 1)):
        assert '"events-60s";r=0;t=' in refused.headers["ratelimit"]
    read = await client.get("/reads/a")
    assert (read.headers["ratelimit-policy"], read.headers["ratelimit"]) == (
        '"reads-3600s";q=2;w=3600',
        '"reads-3600s";r=1;t=3600',
    )
    assert "ratelimit" not in (await client.get("/nowhere")).headers


async def test_reads_are_limited_over_all_paths_of_an_address(client: httpx.AsyncClient) -> None:
    assert [(await client.get(f"/reads/{path}")).status_code for path in "ab"] == [200, 200]
    limited = await client.get("/reads/c")
    assert problem(limited)["status"] == 429
    assert 60 < int(limited.headers["retry-after"]) <= 7200


async def test_reads_of_a_known_user_are_his_too(client: httpx.AsyncClient) -> None:
    assert (await client.get("/mine")).status_code == 200
    assert problem(await client.get("/mine"))["detail"].startswith("more than 1 per 1 hour")
    assert (await client.get("/reads/a")).status_code == 200  # of the address one is left


@pytest.mark.parametrize("text", ["", "many", "5", "5/fortnight"])
def test_a_limit_that_cannot_be_read_is_refused_not_left_out(text: str) -> None:
    with pytest.raises(ValueError, match="rate limit reads"):
        Limits(RATES._replace(reads=text), lambda _: True, _in_memory())
