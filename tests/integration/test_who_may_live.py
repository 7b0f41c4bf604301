"""Live values where one logs in: who may watch what, and that watching ends with the access token."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx
import pytest
from gateway_process import serving
from logging_in import PEOPLE, ROSTER, SECRET, bearer, create
from running import PATIENCE
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from clients.python.live import LiveClient, RefusedError, authorization
from gateway import roster, schema
from gateway.accounts import people
from gateway.database import Database, connected
from gateway.security import keys
from gateway.security.signing import SigningKeys
from gateway.security.tokens import ACCESS_S, LEEWAY_S, AccessTokens
from wire import frames
from wire.frames import ONCALL, PROTOCOL, Bye, CloseCode, Error, ErrorCode, Hello, Resumed, Snapshot, Subscribe


class School(NamedTuple):
    """A gateway that serves, as a process, and everybody's tokens."""

    url: str
    database: Database
    tokens: dict[str, str]

    @asynccontextmanager
    async def watch(self, token: str | None, **more: str) -> AsyncIterator[ClientConnection]:
        headers = ({} if token is None else bearer(token)) | more
        url = self.url.replace("http", "ws", 1) + "/ws/live"
        async with connect(url, subprotocols=[Subprotocol(PROTOCOL)], additional_headers=headers) as viewer:
            assert isinstance(frames.decode(await viewer.recv()), Hello)
            yield viewer

    async def soon_over(self, name: str) -> str:
        """A token that ends in 2 s, leeway and all."""
        account = await people.find(self.database, name)
        assert account is not None
        earlier = AccessTokens(SigningKeys(self.database, SECRET), lambda: time.time() - ACCESS_S - LEEWAY_S + 2)
        return (await earlier.issue(account)).token


@pytest.fixture
async def school(postgres_url: str, redis_url: str) -> AsyncIterator[School]:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 30) as database:
        await roster.store(database, ROSTER)
        await create(database)
        issuer = AccessTokens(SigningKeys(database, SECRET))
        tokens = {each.username: (await issuer.issue(each)).token for each in await people.listed(database)}
        tokens["admin key"] = await keys.create(database, "ops", role=keys.Role.ADMIN)
        settings = {"POSTGRES_URL": postgres_url, "REDIS_URL": redis_url, "SECRET_KEY": SECRET}
        given = {f"CLASSPULSE_{name}": value for name, value in settings.items()}
        async with serving(CLASSPULSE_DASHBOARD_ACCESS="accounts", **given) as (port, _):
            yield School(f"http://127.0.0.1:{port}", database, tokens)


async def subscribed(viewer: ClientConnection, scope: str) -> bool:
    """Whether he is given it. Told again where the roster was not read yet."""
    while True:
        await viewer.send(frames.encode(Subscribe(scope=scope)).decode())
        async with asyncio.timeout(20 * PATIENCE):
            frame = frames.decode(await viewer.recv())
        if not isinstance(frame, Error):
            assert isinstance(frame, Snapshot)
            assert frame.scope == scope
            return True
        assert frame.code is ErrorCode.FORBIDDEN
        if not frame.retry:
            assert scope in frame.message
            return False
        await asyncio.sleep(0.1)


async def test_each_is_given_what_is_his_and_told_of_what_is_not(school: School) -> None:
    mine = {"course:mine", "team:mine/t1", "team:mine/t2", "student:s1", "student:s2"}
    theirs = {"school:all", "course:theirs", "team:theirs/t9", "student:s3", "student:nobody"}
    seen = {
        "viewer": mine,
        "teacher": mine,
        "mate": {"team:mine/t1", "student:s1"},
        "newcomer": set(),
        "student": {"student:s1"},
        "admin": mine | theirs | {ONCALL},
        "sre": mine | theirs | {ONCALL},
    }
    assert seen.keys() == PEOPLE.keys()
    for name, his in seen.items():
        async with school.watch(school.tokens[name]) as viewer:
            asked = [*sorted(mine | theirs), ONCALL]  # that one last: it goes on by itself
            assert {scope for scope in asked if await subscribed(viewer, scope)} == his, name


async def test_who_shows_no_good_token_is_refused_before_the_handshake(school: School) -> None:
    for token, status in ((None, 401), ("a.b.c", 401), (school.tokens["admin key"], 401)):
        with pytest.raises(InvalidStatus) as refused:
            async with school.watch(token):
                pass
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["content-type"] == "application/problem+json"
    with pytest.raises(InvalidStatus) as refused:
        async with school.watch(school.tokens["teacher"], Origin="http://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    async with school.watch(None, Cookie=f"classpulse_access={school.tokens['teacher']}") as viewer:
        assert await subscribed(viewer, "course:mine")


async def test_watching_ends_with_the_token_and_goes_on_with_another(school: School) -> None:
    async with school.watch(await school.soon_over("teacher")) as viewer:
        assert await subscribed(viewer, "course:mine")
        async with asyncio.timeout(20 * PATIENCE):
            bye = frames.decode(await viewer.recv())
            assert isinstance(bye, Bye)
            assert bye.code is CloseCode.EXPIRED
            with pytest.raises(ConnectionClosed):
                await viewer.recv()
        assert viewer.close_code == CloseCode.EXPIRED
    async with school.watch(school.tokens["teacher"]) as viewer:
        assert await subscribed(viewer, "course:mine")


async def test_an_event_stream_ends_with_the_token_too(school: School) -> None:
    token = await school.soon_over("teacher")
    async with httpx.AsyncClient(base_url=school.url, timeout=20 * PATIENCE, headers=bearer(token)) as client:
        async with client.stream("GET", "/api/v1/live/stream", params={"scope": "course:mine"}) as response:
            assert response.status_code == 200
            said = [json.loads(line[6:]) async for line in response.aiter_lines() if line.startswith("data: ")]
        assert said[0]["type"] == "hello"
        assert (said[-1]["type"], said[-1]["code"]) == ("bye", CloseCode.EXPIRED)
        answer = await client.get("/api/v1/live/stream", params={"scope": "course:mine"})
        assert answer.status_code == 401


async def test_the_client_shows_its_token_and_the_next_when_it_comes_again(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = school.url.replace("http", "ws", 1) + "/ws/live"
    given: list[str] = []

    def newest() -> str:
        given.append("first" if not given else "next")
        return ending if given == ["first"] else school.tokens["viewer"]

    ending = await school.soon_over("viewer")
    async with asyncio.timeout(30 * PATIENCE):
        told = LiveClient(url, ["course:mine"], token=newest).frames()
        assert isinstance(await anext(told), Snapshot)
        assert isinstance(await anext(told), Resumed | Snapshot)  # it was sent away with 3014, and came again
        assert given == ["first", "next"]
        monkeypatch.setenv("CLASSPULSE_TOKEN", school.tokens["viewer"])
        assert isinstance(await anext(LiveClient(url, ["course:mine"]).frames()), Snapshot)
        async with httpx.AsyncClient(base_url=school.url, headers=authorization()) as client:
            asked = client.stream("GET", "/api/v1/live/stream", params={"scope": "course:mine"})
            async with asked as answer:
                assert answer.status_code == 200
        monkeypatch.delenv("CLASSPULSE_TOKEN")
        with pytest.raises(RefusedError, match="401"):
            await anext(LiveClient(url, ["course:mine"]).frames())
        with pytest.raises(RefusedError, match="forbidden"):
            await anext(LiveClient(url, ["course:theirs"], token=school.tokens["viewer"]).frames())
