"""Logging in by an OpenID provider, with a real PostgreSQL and a provider on a real port that can misbehave."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
import served
from doors import problem
from fastapi import FastAPI
from joserfc.jwk import ECKey
from logging_in import PASSWORD, create, log_in, settings
from oidc_provider import AOI, CLIENT, CLIENT_SECRET, KID, OidcProvider, provider
from pydantic import SecretStr
from running import PATIENCE, eventually

from gateway import schema
from gateway.accounts import identities, people
from gateway.accounts.oidc.provider import AGAIN_S, Client, Provider, ProviderAwayError, ProviderFaultError
from gateway.app import create_app
from gateway.database import Database, connected
from gateway.security import audit_log
from stack import ports
from stack.postgres import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

START, CALLBACK = "/api/v1/auth/oidc/start", "/api/v1/auth/oidc/callback"
ADDRESSES = itertools.count(1)
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


class Whole(NamedTuple):
    app: FastAPI
    database: Database
    provider: OidcProvider
    postgres_url: str


@dataclass
class House:
    client: httpx.AsyncClient
    database: Database
    provider: OidcProvider
    postgres_url: str

    async def start(self, **headers: str) -> httpx.Response:
        return await self.client.get(START, headers=headers)

    async def at_provider(self, begun: httpx.Response) -> str:
        """Where the provider sends the browser back to: our path, with its query."""
        assert begun.status_code == 302, begun.text
        async with httpx.AsyncClient(trust_env=False, timeout=10 * PATIENCE) as browser:
            back = await browser.get(begun.headers["location"])
        assert back.headers["location"].startswith(f"http://127.0.0.1:8000{CALLBACK}?"), back.text
        return str(back.headers["location"].removeprefix("http://127.0.0.1:8000"))

    async def log_in(self, **headers: str) -> httpx.Response:
        return await self.client.get(await self.at_provider(await self.start()), headers=headers)

    async def me(self) -> str | None:
        answer = await self.client.get("/api/v1/auth/me")
        return answer.json()["username"] if answer.status_code == 200 else None

    async def link(self, username: str, claim: identities.Claim, known_as: str) -> None:
        await identities.link(self.database, username, self.provider.issuer, claim, known_as, by="cli:x")

    async def logged(self, what: str, result: str, detail: str) -> None:
        async def there() -> bool:
            rows = await self.database.fetch(
                "SELECT 1 FROM audit_log WHERE what = $1 AND result = $2 AND detail LIKE $3",
                what,
                result,
                f"%{detail}%",
            )
            return bool(rows)

        await eventually(there, 20, f"{what} {result} {detail} is in the log")


def wanted(postgres_url: str, issuer: str, **given: object) -> Any:
    ours = {"oidc_issuer": issuer, "oidc_client_id": CLIENT, "oidc_client_secret": CLIENT_SECRET}
    plenty = {"rate_limit_reads": "100000/minute"}
    return settings(postgres_url, **{**ours, **plenty, "oidc_claim": "email", "oidc_name": "Our school", **given})


@pytest.fixture(scope="module")
def own_database(postgres: Postgres) -> Iterator[str]:
    """The module's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    yield postgres.url_of(name)
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def running() -> Iterator[OidcProvider]:
    with provider() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(own_database: str, running: OidcProvider) -> AsyncIterator[Whole]:
    await schema.migrate(own_database)
    async with connected(own_database, 10) as database:
        await create(database, "teacher", "viewer")
        app = create_app(wanted(own_database, running.issuer))
        async with app.router.lifespan_context(app):
            yield Whole(app, database, running, own_database)


@pytest_asyncio.fixture(loop_scope="module")
async def house(whole: Whole) -> AsyncIterator[House]:
    """`teacher` is linked to Aoi's address, and has never come; nobody is logged in. Each test comes from an address of
    its own: log-ins that fail are counted."""
    transport = httpx.ASGITransport(whole.app, client=(f"192.0.2.{next(ADDRESSES)}", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        found = House(client, whole.database, whole.provider, whole.postgres_url)
        await found.link("teacher", "email", "AOI@school.example")
        yield found
    whole.provider.behave()


async def test_who_is_linked_logs_in_as_with_a_password_and_is_known_by_his_sub_from_then_on(house: House) -> None:
    begun = await house.start()
    cookie = begun.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/api/v1/auth/oidc", "Max-Age=600"))
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["redirect_uri"] == [f"http://127.0.0.1:8000{CALLBACK}"]
    assert not any(asked[name][0] in cookie for name in ("state", "nonce", "code_challenge"))
    assert CLIENT_SECRET not in begun.headers["location"]
    answer = await house.client.get(await house.at_provider(begun))
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    cookies = {each.partition("=")[0]: each for each in answer.headers.get_list("set-cookie")}
    assert set(cookies) == {"classpulse_access", "classpulse_refresh", "classpulse_oidc"}
    assert "Max-Age=0" in cookies.pop("classpulse_oidc")
    assert all("HttpOnly" in each and "SameSite=strict" in each for each in cookies.values())
    assert await house.me() == "teacher"
    again = await house.client.post("/api/v1/auth/refresh", headers={"Origin": "http://127.0.0.1:8000"})
    assert again.status_code == 200
    await house.logged("login", "done", "oidc")
    await house.logged("account.meet", "done", "u-1")
    house.provider.who = {"sub": "u-1", "email": "married@school.example", "email_verified": True}
    house.client.cookies.clear()
    assert (await house.log_in()).headers["location"] == "/"
    assert await house.me() == "teacher"
    assert (await audit_log.verify(house.database)).wrong == []


async def test_an_address_that_is_given_to_somebody_else_opens_nothing(house: House) -> None:
    assert (await house.log_in()).status_code == 302
    house.client.cookies.clear()
    house.provider.who = {**AOI, "sub": "u-2"}
    assert "no account here" in problem(await house.log_in(), 403)["detail"]
    assert await house.me() is None
    await house.logged("login", "refused", "oidc: no account")


@pytest.mark.parametrize(
    "who",
    [
        {**AOI, "email_verified": False},
        {**AOI, "email_verified": "true"},
        {"sub": "u-1", "email": AOI["email"]},
        {"sub": "u-1", "email_verified": True},
        {**AOI, "email": "somebody@school.example"},
        {**AOI, "email": "aoi@school.example\0"},
    ],
    ids=str,
)
async def test_what_the_provider_has_not_verified_and_who_is_not_linked_is_nobody(
    house: House, who: dict[str, Any]
) -> None:
    house.provider.who = who
    problem(await house.log_in(), 403)
    page = await house.log_in(**BROWSER)
    assert (page.status_code, page.headers["location"]) == (302, "/?log-in=stranger")
    accounts = await people.listed(house.database)
    assert {account.username for account in accounts} == {"teacher", "viewer"}


async def test_another_claim_than_the_one_it_was_linked_by_finds_no_account(house: House) -> None:
    await house.link("teacher", "preferred_username", "aoi@school.example")
    problem(await house.log_in(), 403)


async def test_who_is_revoked_or_not_linked_any_more_is_nobody_and_a_link_ends_sessions(house: House) -> None:
    assert (await house.log_in()).status_code == 302
    await identities.unlink(house.database, "teacher", by="cli:x")
    ended = await house.client.post("/api/v1/auth/refresh", headers={"Origin": "http://127.0.0.1:8000"})
    assert "is over" in problem(ended, 401)["detail"]
    problem(await house.log_in(), 403)
    await create(house.database, "mate")
    await house.link("mate", "email", "aoi@school.example")
    with pytest.raises(people.AccountError, match="another account is linked"):
        await house.link("teacher", "email", "aoi@school.example")
    await people.revoke(house.database, "mate", [], by="cli:x")
    problem(await house.log_in(), 403)
    await house.database.fetch("DELETE FROM identities")
    await house.database.fetch("DELETE FROM sessions")
    await house.database.fetch(
        "DELETE FROM grants WHERE account_id = (SELECT id FROM accounts WHERE username = 'mate')"
    )
    await house.database.fetch("DELETE FROM accounts WHERE username = 'mate'")


NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": ...}, "claim"),
        ({"aud": "another"}, "aud"),
        ({"aud": [CLIENT, "another"]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": ...}, "claim"),
        ({"aud": [CLIENT], "azp": "another"}, "azp"),
        ({"iss": "https://another.example"}, "iss"),
        ({"iss": ...}, "claim"),
        ({"exp": NOW - 61}, "exp"),
        ({"exp": ...}, "claim"),
        ({"exp": "tomorrow"}, "claim"),
        ({"iat": NOW + 3_600}, "iat"),
        ({"iat": NOW - 3_600}, "iat"),
        ({"iat": ...}, "claim"),
        ({"nbf": NOW + 3_600}, "nbf"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 256}, "sub"),
        ({"sub": "a\0b"}, "sub"),
        ({"sub": 7}, "claim"),
    ],
    ids="".join,  # not by the times in it: each process of the tests has its own
)
async def test_an_id_token_that_says_something_else_is_not_believed(
    house: House, claims: dict[str, Any], told: str
) -> None:
    house.provider.claims = claims
    detail = problem(await house.log_in(), 401)["detail"]
    assert told in detail.partition("is not believed:")[2]
    assert await house.me() is None


async def test_clocks_may_differ_and_an_audience_may_be_a_list(house: House) -> None:
    house.provider.claims = {"exp": int(time.time()) - 10, "iat": int(time.time()) + 20, "aud": [CLIENT], "azp": CLIENT}
    assert (await house.log_in()).headers.get("location") == "/"


@pytest.mark.parametrize("forge", ["none", "hs256", "other key"])
async def test_an_id_token_that_the_provider_has_not_signed_is_not_believed(house: House, forge: str) -> None:
    house.provider.forge = forge
    assert "not signed by the provider" in problem(await house.log_in(), 401)["detail"]
    assert await house.me() is None
    await house.logged("login", "refused", "ID token: it is not signed")


async def test_when_the_provider_changes_its_key_the_new_one_is_found(house: House) -> None:
    first = house.provider.key
    assert (await house.log_in()).status_code == 302
    house.provider.rotate(ECKey.generate_key("P-256"), "second")

    async def found() -> bool:
        return (await house.log_in()).status_code == 302

    try:
        await eventually(found, 20, "the new key is found")
        house.provider.kid = "nobody's"
        house.provider.hidden = True  # it signs by a key it does not show
        assert "no key the provider shows" in problem(await house.log_in(), 401)["detail"]
    finally:
        house.provider.rotate(first, KID)
        house.provider.behave()
        await eventually(found, 20, "the first key is found again")


async def test_state_belongs_to_a_browser_and_a_code_is_good_once(house: House) -> None:
    back = await house.at_provider(await house.start())
    jar = dict(house.client.cookies)
    house.client.cookies.clear()  # another browser, which was made to come back with somebody's code
    assert "not begun by this browser" in problem(await house.client.get(back), 400)["detail"]
    house.client.cookies.set("classpulse_oidc", "not sealed by us")
    problem(await house.client.get(back), 400)
    await house.start()  # his own log-in, begun after
    problem(await house.client.get(back), 400)
    await house.logged("login", "refused", "oidc: state")

    def sealed() -> None:
        house.client.cookies.clear()
        house.client.cookies.set("classpulse_oidc", jar["classpulse_oidc"])

    sealed()
    assert (await house.client.get(back)).status_code == 302
    sealed()
    assert "does not take this code" in problem(await house.client.get(back), 401)["detail"]
    await house.logged("login", "refused", "oidc: code")


async def test_without_the_verifier_a_code_is_worth_nothing(house: House) -> None:
    """A code that was caught, brought into a log-in that somebody else began: PKCE's verifier is another one."""
    caught = parse_qs(urlsplit(await house.at_provider(await house.start())).query)["code"][0]
    house.client.cookies.clear()
    own = parse_qs(urlsplit(await house.at_provider(await house.start())).query)
    answer = await house.client.get(CALLBACK, params={"state": own["state"][0], "code": caught})
    assert "does not take this code" in problem(answer, 401)["detail"]


async def test_another_process_of_the_gateway_takes_it_and_one_with_another_secret_does_not(house: House) -> None:
    back = await house.at_provider(await house.start())
    sealed = dict(house.client.cookies)
    ours = wanted(house.postgres_url, house.provider.issuer)
    another = ours.model_copy(update={"secret_key": SecretStr("another secret of forty characters, or so")})
    for config, code in ((another, 400), (ours, 302)):
        async with served.gateway(config) as other:
            other.cookies.update(sealed)
            assert (await other.get(back)).status_code == code


async def test_who_is_refused_there_is_refused_here_and_another_provider_sends_nobody(house: House) -> None:
    house.provider.refuses = "access_denied"
    assert "did not log you in" in problem(await house.log_in(), 401)["detail"]
    assert (await house.log_in(**BROWSER)).headers["location"] == "/?log-in=refused"
    house.provider.behave()
    house.provider.says_iss = "https://another.example"
    assert "another provider" in problem(await house.log_in(), 401)["detail"]
    house.provider.says_iss = house.provider.issuer
    assert (await house.log_in()).headers.get("location") == "/"


@pytest.mark.parametrize(("status", "code"), [(500, 503), (503, 503), (429, 503), (400, 502), (404, 502)])
async def test_where_the_provider_fails_it_is_said_and_nothing_of_it_is_told(
    house: House, status: int, code: int
) -> None:
    house.provider.token_status = status
    answer = await house.log_in()
    assert CLIENT_SECRET not in str(problem(answer, code))
    assert ("retry-after" in answer.headers) == (code == 503)
    assert (await house.log_in(**BROWSER)).headers["location"] == "/?log-in=away"
    await house.logged("login", "refused", "oidc: it")


async def test_with_the_provider_away_or_slow_it_is_503_and_a_password_still_logs_in(house: House) -> None:
    nowhere = f"http://127.0.0.1:{ports.free()}/realm"
    async with served.gateway(wanted(house.postgres_url, nowhere)) as client:
        answer = await client.get(START)
        assert "does not answer" in problem(answer, 503)["detail"]
        assert answer.headers["retry-after"]
        assert (await client.get(START, headers=BROWSER)).headers["location"] == "/?log-in=away"
        assert (await log_in(client, "viewer")).status_code == 200
        assert (await client.get("/api/v1/auth/ways")).json() == {"password": True, "oidc": "Our school"}
    back = await house.at_provider(await house.start())
    house.provider.slow = True
    problem(await house.client.get(back), 503)
    assert (await log_in(house.client, "viewer", PASSWORD)).status_code == 200


async def test_many_at_once_ask_a_provider_once_and_one_that_is_away_is_left_in_peace(running: OidcProvider) -> None:
    clock = [0.0]
    asked = Provider(Client(running.issuer, CLIENT, CLIENT_SECRET, "openid"), lambda: clock[0])
    await asked.start()
    try:
        running.asked.clear()
        await asyncio.gather(*(asked.key(KID) for _ in range(20)))
        assert running.asked == ["openid-configuration", "keys"]
        for _ in range(20):
            assert await asked.key("unknown") is None
        assert running.asked.count("keys") == 1
        clock[0] += AGAIN_S
        for _ in range(20):
            assert await asked.key("unknown") is None
        assert running.asked.count("keys") == 2
        running.metadata = {"issuer": "https://another.example"}
        clock[0] += 4_000
        running.asked.clear()
        for _ in range(20):
            with pytest.raises(ProviderFaultError, match="calls itself otherwise"):
                await asked.metadata()
        assert running.asked == ["openid-configuration"]
        running.behave()
        clock[0] += AGAIN_S
        assert (await asked.metadata()).issuer == running.issuer
    finally:
        running.behave()
        await asked.stop()


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"token_endpoint": "http://school.example/token"}, "not https"),
        ({"jwks_uri": "file:///etc/passwd"}, "not https"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"authorization_endpoint": 7}, "no such thing"),
        ({"padding": "x" * 300_000}, "bytes"),
    ],
)
async def test_a_provider_that_is_not_as_the_standard_says_is_not_used(
    running: OidcProvider, metadata: dict[str, Any], told: str
) -> None:
    asked = Provider(Client(running.issuer, CLIENT, CLIENT_SECRET, "openid"))
    await asked.start()
    try:
        running.metadata = metadata
        with pytest.raises(ProviderFaultError, match=told):
            await asked.metadata()
    finally:
        running.behave()
        await asked.stop()


async def test_a_provider_that_is_not_there_is_away() -> None:
    asked = Provider(Client(f"http://127.0.0.1:{ports.free()}", CLIENT, "", "openid"))
    with pytest.raises(ProviderAwayError):
        await asked.metadata()


async def test_an_address_whose_log_ins_fail_waits(house: House) -> None:
    async with served.gateway(wanted(house.postgres_url, house.provider.issuer), "198.51.100.9") as client:
        codes = [(await client.get(CALLBACK)).status_code for _ in range(61)]
        assert codes == [400] * 60 + [429]
        limited = await client.get(START)
        assert (limited.status_code, int(limited.headers["retry-after"]) > 0) == (429, True)


async def test_another_name_or_another_sites_page_begins_nothing(house: House) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        for path in (START, CALLBACK, "/api/v1/auth/ways"):
            problem(await house.client.get(path, headers=headers), 403)


async def test_over_tls_its_cookie_is_for_tls_and_so_is_the_way_back(house: House) -> None:
    begun = await house.client.get(f"https://127.0.0.1:8000{START}")
    assert "Secure" in begun.headers["set-cookie"]
    assert parse_qs(urlsplit(begun.headers["location"]).query)["redirect_uri"][0].startswith("https://")


async def test_where_it_is_off_the_routes_say_so(house: House) -> None:
    async with served.gateway(settings(house.postgres_url)) as client:
        assert (await client.get("/api/v1/auth/ways")).json() == {"password": True, "oidc": None}
        for path in (START, CALLBACK):
            assert "CLASSPULSE_OIDC_ISSUER" in problem(await client.get(path), 404)["detail"]
    async with served.gateway(served.settings(postgres_url=house.postgres_url)) as client:
        assert (await client.get("/api/v1/auth/ways")).json() == {"password": False, "oidc": None}
