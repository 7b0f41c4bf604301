"""Accounts in a real PostgreSQL: logging in and out over the gateway's routes, and the command."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import served
from doors import problem
from logging_in import PASSWORD, bearer, create, log_in, settings
from typer.testing import CliRunner, Result

from cli.accounts import app
from gateway import schema
from gateway.accounts import people
from gateway.accounts.people import AccountError
from gateway.database import Database
from gateway.security import audit_log
from gateway.security.principal import Role

ORIGIN = {"Origin": "http://127.0.0.1:8000"}


@pytest.fixture
async def client(database: Database, postgres_url: str) -> AsyncIterator[httpx.AsyncClient]:
    await create(database, "teacher")
    async with served.gateway(settings(postgres_url)) as client:
        yield client


async def refresh(client: httpx.AsyncClient, token: str | None) -> httpx.Response:
    return await client.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def me(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/api/v1/auth/me", headers=bearer(token))


async def test_who_logs_in_is_known(client: httpx.AsyncClient) -> None:
    answer = await log_in(client, "Teacher")
    said = answer.json()
    assert (answer.status_code, said["username"], said["expires_in_s"]) == (200, "teacher", 900)
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    who = (await me(client, said["access_token"])).json()
    assert (who["username"], who["display_name"], who["role"], who["courses"]) == (
        "teacher", "Teacher", "teacher", ["mine"],
    )  # fmt: skip
    (key,) = (await client.get("/.well-known/jwks.json")).json()["keys"]
    assert (key["kty"], key["crv"], "d" in key) == ("OKP", "Ed25519", False)


async def test_a_wrong_name_and_a_wrong_password_are_answered_alike(client: httpx.AsyncClient) -> None:
    wrong = problem(await log_in(client, "teacher", "not this one at all"), 401)
    for name in ("nobody", "", "a\0b", "ünbekannt", "' OR 1=1 --"):
        assert problem(await log_in(client, name, PASSWORD), 401) == wrong
    for token in ("", "a.b.c", "cp_unknown"):
        problem(await me(client, token), 401)


async def test_after_ten_attempts_an_account_waits_and_another_does_not(
    client: httpx.AsyncClient, database: Database
) -> None:
    await create(database, "viewer")
    for _ in range(9):
        assert (await log_in(client, "teacher", "wrong")).status_code == 401
    assert (await log_in(client, "teacher")).status_code == 200  # and the count begins anew
    answers = await asyncio.gather(*(log_in(client, "teacher", "wrong") for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 2
    limited = await log_in(client, "teacher")
    assert limited.status_code == 429
    assert 0 < int(limited.headers["retry-after"]) <= 300
    assert (await log_in(client, "viewer")).status_code == 200


async def test_a_refresh_token_is_good_once_and_shown_again_it_ends_the_session(client: httpx.AsyncClient) -> None:
    first = (await log_in(client, "teacher")).json()["refresh_token"]
    other = (await log_in(client, "teacher")).json()["refresh_token"]
    second = (await refresh(client, first)).json()
    assert (await me(client, second["access_token"])).status_code == 200
    third = (await refresh(client, second["refresh_token"])).json()["refresh_token"]
    assert "used before" in problem(await refresh(client, first), 401)["detail"]
    assert "is over" in problem(await refresh(client, third), 401)["detail"]
    assert (await refresh(client, other)).status_code == 200  # another session
    assert "not known" in problem(await refresh(client, "x"), 401)["detail"]
    assert "is needed" in problem(await refresh(client, None), 401)["detail"]


async def test_of_two_who_show_the_same_token_at_once_one_is_refused(client: httpx.AsyncClient) -> None:
    token = (await log_in(client, "teacher")).json()["refresh_token"]
    answers = await asyncio.gather(refresh(client, token), refresh(client, token))
    assert sorted(answer.status_code for answer in answers) == [200, 401]
    (won,) = (answer.json()["refresh_token"] for answer in answers if answer.status_code == 200)
    assert (await refresh(client, won)).status_code == 401


async def test_an_idle_session_is_over(client: httpx.AsyncClient, database: Database) -> None:
    token = (await log_in(client, "teacher")).json()["refresh_token"]
    await database.fetch("UPDATE refresh_tokens SET created_at = created_at - interval '25 hours'")
    assert "is over" in problem(await refresh(client, token), 401)["detail"]


async def test_a_session_is_over_after_two_weeks(client: httpx.AsyncClient, database: Database) -> None:
    token = (await log_in(client, "teacher")).json()["refresh_token"]
    await database.fetch("UPDATE sessions SET expires_at = expires_at - interval '14 days'")
    assert "is over" in problem(await refresh(client, token), 401)["detail"]


async def test_logged_out_a_session_is_over(client: httpx.AsyncClient) -> None:
    token = (await log_in(client, "teacher")).json()["refresh_token"]
    assert (await client.post("/api/v1/auth/logout", json={"refresh_token": token})).status_code == 204
    assert "is over" in problem(await refresh(client, token), 401)["detail"]
    assert (await client.post("/api/v1/auth/logout", json={"refresh_token": token})).status_code == 204
    assert (await client.post("/api/v1/auth/logout")).status_code == 204


async def test_the_page_has_cookies_and_no_token_in_any_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/auth/login", json={"username": "teacher", "password": PASSWORD, "cookie": True}, headers=ORIGIN
    )
    assert (answer.json()["access_token"], answer.json()["refresh_token"]) == (None, None)
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all("HttpOnly" in cookie and "SameSite=strict" in cookie for cookie in cookies)
    assert [cookie.partition("Path=")[2].partition(";")[0] for cookie in cookies] == ["/", "/api/v1/auth"]
    assert (await client.get("/api/v1/auth/me")).json()["username"] == "teacher"
    again = await client.post("/api/v1/auth/refresh", headers=ORIGIN)
    assert (again.status_code, again.json()["access_token"]) == (200, None)
    assert (await client.get("/api/v1/auth/me")).status_code == 200
    assert (await client.post("/api/v1/auth/logout", headers=ORIGIN)).status_code == 204
    assert dict(client.cookies) == {}
    assert (await client.get("/api/v1/auth/me")).status_code == 401


async def test_over_tls_cookies_are_for_tls_only(client: httpx.AsyncClient) -> None:
    login = {"username": "teacher", "password": PASSWORD, "cookie": True}
    answer = await client.post("https://127.0.0.1:8000/api/v1/auth/login", json=login)
    assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))


async def test_another_sites_page_logs_nobody_in_or_out(client: httpx.AsyncClient) -> None:
    for path in ("login", "refresh", "logout"):
        answer = await client.post(f"/api/v1/auth/{path}", json={}, headers={"Origin": "http://evil.example"})
        assert "may not ask" in problem(answer, 403)["detail"]


@pytest.mark.parametrize(
    "body", [{}, {"username": "x"}, {"username": "x", "password": 7}, {"username": "x" * 65, "password": "hunter2"}, []]
)
async def test_a_log_in_that_is_none_is_400_and_no_password_is_told_back(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/api/v1/auth/login", json=body)
    problem(answer, 400)
    assert "hunter2" not in answer.text


async def test_another_password_or_none_any_more_ends_the_sessions(
    client: httpx.AsyncClient, database: Database
) -> None:
    token = (await log_in(client, "teacher")).json()["refresh_token"]
    await people.set_password(database, "teacher", "another one of his", by="cli:x")
    assert "is over" in problem(await refresh(client, token), 401)["detail"]
    assert (await log_in(client, "teacher")).status_code == 401
    token = (await log_in(client, "teacher", "another one of his")).json()["refresh_token"]
    await people.revoke(database, "teacher", [], by="cli:x")
    assert "is over" in problem(await refresh(client, token), 401)["detail"]
    assert (await log_in(client, "teacher", "another one of his")).status_code == 401
    assert (await audit_log.verify(database)).wrong == []


async def test_what_one_is_given_is_in_the_next_token(client: httpx.AsyncClient, database: Database) -> None:
    said = (await log_in(client, "teacher")).json()
    await people.grant(database, "teacher", [("web110", ""), ("ml201", "t1")], by="cli:x")
    await people.revoke(database, "teacher", [("mine", "")], by="cli:x")
    said = (await refresh(client, said["refresh_token"])).json()
    who = (await me(client, said["access_token"])).json()
    assert (who["courses"], who["teams"]) == (["web110"], [["ml201", "t1"]])


async def test_where_nobody_logs_in_the_routes_say_so(postgres_url: str) -> None:
    async with served.gateway(served.settings(postgres_url=postgres_url)) as client:
        assert "nobody logs in here" in problem(await log_in(client, "teacher"), 404)["detail"]
        problem(await client.get("/.well-known/jwks.json"), 404)
        assert (await client.get("/api/v1/auth/me")).json()["username"] is None


async def test_without_postgresql_nobody_logs_in_and_it_says_so() -> None:
    away = served.settings().postgres_url.get_secret_value()
    async with served.gateway(settings(away)) as client:
        for answer in (await log_in(client, "teacher"), await refresh(client, "x")):
            assert problem(answer, 503)
            assert answer.headers["retry-after"]


async def test_what_is_given_is_bounded_by_what_a_cookie_holds(database: Database) -> None:
    await create(database, "newcomer")
    with pytest.raises(AccountError, match="1500 at most"):
        await people.grant(database, "newcomer", [(f"course-{number}", "") for number in range(200)], by="cli:x")
    found = await people.find(database, "newcomer")
    assert found is not None
    assert found.grants == frozenset()
    for name, role, student_id in (
        ("Aoi", Role.VIEWER, None),
        ("a b", Role.VIEWER, None),
        ("aoi", Role.STUDENT, None),
        ("aoi", Role.VIEWER, "s1"),
        ("newcomer", Role.VIEWER, None),
    ):
        with pytest.raises(AccountError):
            await people.create(database, name, name, role, PASSWORD, student_id=student_id, by="cli:x")
    with pytest.raises(AccountError, match="says all there is to see"):
        await people.create(database, "boss", "Boss", Role.ADMIN, PASSWORD, [("mine", "")], by="cli:x")


@pytest.fixture
async def run(postgres_url: str) -> Callable[..., Result]:
    await schema.migrate(postgres_url)

    def run(*arguments: str, said: str | None = None) -> Result:
        return CliRunner().invoke(app, [*arguments, "--postgres", postgres_url], input=said)

    return run


def test_the_command_makes_and_changes_accounts(run: Callable[..., Result]) -> None:
    made = run("create", "aoi", "--role", "teacher", "--course", "py101", "--stdin", said=f"{PASSWORD}\n")
    assert (made.exit_code, PASSWORD in made.output) == (0, False)
    asked = run("create", "beni", "--role", "student", "--student", "s2", said=f"{PASSWORD}\n{PASSWORD}\n")
    assert (asked.exit_code, PASSWORD in asked.output) == (0, False)
    assert run("grant", "aoi", "--course", "ml201/t1").exit_code == 0
    assert " ".join(run("list").output.splitlines()[1].split()[:5]) == "aoi aoi teacher ml201/t1 py101"
    assert run("revoke", "aoi", "--course", "py101").exit_code == 0
    assert "py101" not in run("list").output
    assert run("password", "aoi", "--stdin", said="quite another one\n").exit_code == 0
    linked = run("link", "aoi", "--as", "aoi@school.example", "--issuer", "https://id.example", "--claim", "email")
    assert (linked.exit_code, "email aoi@school.example" in linked.output) == (0, True)
    assert run("unlink", "aoi").exit_code == 0
    assert run("revoke", "aoi").exit_code == 0
    for again in (("revoke", "aoi"), ("grant", "aoi", "--course", "x")):
        refused = run(*again)
        assert (refused.exit_code, "no account 'aoi'" in refused.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("create", "aoi", "--role", "teacher", "--stdin"), 1, "12 to 256 characters"),
        (("create", "aoi", "--role", "producer", "--stdin"), 2, "is no role"),
        (("create", "aoi", "--role", "viewer", "--course", "a/\x07", "--stdin"), 2, "COURSE/TEAM"),
        (("grant", "aoi"), 2, "say which --course"),
        (("link", "aoi", "--as", "aoi"), 2, "say which --issuer"),
        (("link", "aoi", "--as", "aoi", "--issuer", "https://id.example", "--claim", "name"), 2, "preferred_username"),
        (("link", "aoi", "--as", "", "--issuer", "https://id.example"), 1, "printable characters"),
        (("rotate-keys", "--secret", "short"), 2, "32 characters"),
    ],
)
def test_the_command_says_what_is_wrong(
    run: Callable[..., Result], arguments: tuple[str, ...], code: int, told: str
) -> None:
    result = run(*arguments, said="short\n")
    assert (result.exit_code, told in " ".join(result.output.split())) == (code, True), result.output


def test_a_password_is_no_argument(run: Callable[..., Result]) -> None:
    assert run("password", "aoi", "--password", PASSWORD).exit_code == 2
