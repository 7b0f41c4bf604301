"""Every error is a problem, whoever raised it; a limit says when to go on."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from starlette.requests import Request

from gateway import problems
from gateway.database import DatabaseAwayError
from gateway.security.limits import Limits


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    limits = Limits("2/minute", "1/hour", {"a", "b"}.__contains__)
    app.state.limiter = limits.limiter
    problems.install(app)

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
    async def events(request: Request) -> str:
        return str(request.url)

    @app.get("/reads/{path}")
    @limits.reads
    async def reads(request: Request, path: str) -> str:
        return f"{path} {request.url}"

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


async def test_each_key_has_its_own_limit_and_the_answer_says_when_to_go_on(client: httpx.AsyncClient) -> None:
    async def post(key: str) -> httpx.Response:
        return await client.post("/events", headers={"Authorization": f"Bearer {key}"})

    assert [(await post("a")).status_code for _ in range(3)] == [200, 200, 429]
    assert (await post("b")).status_code == 200
    limited = await post("a")
    assert 1 <= int(limited.headers["retry-after"]) <= 60
    assert problem(limited)["detail"].startswith("more than 2 per 1 minute; go on in ")


async def test_keys_that_are_not_known_share_their_addresss_limit(client: httpx.AsyncClient) -> None:
    async def post(key: str) -> int:
        return (await client.post("/events", headers={"Authorization": f"Bearer {key}"})).status_code

    assert [await post(f"made up {number}") for number in range(3)] == [200, 200, 429]
    assert await post("a") == 200


async def test_reads_are_limited_over_all_paths_of_an_address(client: httpx.AsyncClient) -> None:
    assert (await client.get("/reads/a")).status_code == 200
    limited = await client.get("/reads/b")
    assert problem(limited)["status"] == 429
    assert 60 < int(limited.headers["retry-after"]) <= 3600


@pytest.mark.parametrize("text", ["", "many", "5", "5/fortnight"])
def test_a_limit_that_cannot_be_read_is_refused_not_left_out(text: str) -> None:
    with pytest.raises(ValueError, match="rate limit"):
        Limits(text, "1/minute", lambda _: True)
