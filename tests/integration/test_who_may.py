"""Every role on every route, with what is his and with somebody else's: against the table, with a real PostgreSQL."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis.asyncio as redis
from logging_in import PEOPLE, School, school
from running import eventually

from gateway.security.permissions import TABLE, Check, Rule
from gateway.security.principal import Role
from wire import channels
from wire.scopes import ScopeKind

ROLES: dict[str, Role | None] = {name: role for name, (role, _, _) in PEOPLE.items()}
ROLES |= {"admin key": Role.ADMIN, "producer key": Role.PRODUCER, "": None}
OWN = {"mate": "team:mine/t1", "student": "student:s1"}  # of the others: course:mine
EXAMPLES = {"resource": "agents", "letter_id": "activity.dead-letters-0-0", "event_id": "e1", "file": "x"}
EXAMPLES |= {"group": "live", "worker_id": "live-here-1"}
QUERIES: dict[str, dict[str, str]] = {
    "GET /api/v1/history/{scope}": {"metric": "error_rate"},
    "GET /api/v1/live/stream": {"scope": "nothing:at-all"},  # 400 to whoever is let in: it would not end
}
# What each sees, of all there is.
SEEN: dict[str, set[str]] = {
    "viewer": {"course:mine", "team:mine/t1", "team:mine/t2", "student:s1", "student:s2"},
    "teacher": {"course:mine", "team:mine/t1", "team:mine/t2", "student:s1", "student:s2"},
    "mate": {"team:mine/t1", "student:s1"},
    "newcomer": set(),
    "student": {"student:s1"},
}
SCOPES = {
    "school:all",
    *("course:mine", "course:theirs", "course:nobodys"),
    *("team:mine/t1", "team:mine/t2", "team:theirs/t9", "team:theirs/t1"),
    *("student:s1", "student:s2", "student:s3", "student:nobody"),
}
SEES_ALL = ("admin", "sre", "admin key")


@pytest.fixture
async def everybody(postgres_url: str, redis_url: str) -> AsyncIterator[School]:
    async with redis.from_url(redis_url) as client:  # strangers who sent something too
        await client.zadd(channels.seen(ScopeKind.COURSE), {"nobodys": 1})
        await client.zadd(channels.seen(ScopeKind.STUDENT), {"nobody": 1})
    async with school(postgres_url, redis_url=redis_url, xapi_store=True) as found:
        yield found


def expected(rule: Rule, name: str) -> int | None:
    """None: he is let in, whatever the answer then is."""
    role = ROLES[name]
    if rule.check is Check.SCOPE and name == "newcomer":  # nothing is his
        return 403
    if rule.roles is None or role in rule.roles:
        return None
    if rule.roles == frozenset({Role.PRODUCER}):  # they know keys only: an access token is none
        return 403 if name == "admin key" else 401
    return 401 if role is None else 403


async def test_every_role_on_every_route(everybody: School) -> None:
    for route, rule in TABLE.items():
        method, path = route.split(" ")
        if method == "WS":
            continue  # test_who_may_live
        for name in ROLES:
            answer = await everybody.client.request(
                method,
                path.format(scope=OWN.get(name, "course:mine"), **EXAMPLES),
                params=QUERIES.get(route),
                headers=everybody.headers[name],
                json={} if method == "POST" else None,
            )
            wanted = expected(rule, name)
            if wanted is not None:
                # The door counts what is no key of its own; after 60 from one address it says so instead.
                counted = {429} if wanted == 401 and rule.roles == frozenset({Role.PRODUCER}) else set()
                assert answer.status_code in {wanted} | counted, (route, name, answer.text)
            elif not (route.endswith(("/refresh",)) and answer.status_code == 401):  # there is no token in it
                assert answer.status_code not in (401, 403), (route, name, answer.text)


async def test_every_role_on_every_scope(everybody: School) -> None:
    for name in [*PEOPLE, "admin key"]:
        seen = set()
        for scope in SCOPES:
            answer = await everybody.get(name, f"/api/v1/history/{scope}", metric="error_rate")
            stream = await _streams(everybody, name, scope)
            assert answer.status_code in (200, 403)
            assert stream == (answer.status_code == 200), (name, scope)
            if answer.status_code == 200:
                seen.add(scope)
            else:
                assert answer.json()["detail"].endswith(f"may not see {scope}")
        assert seen == (SCOPES if name in SEES_ALL else SEEN[name]), name


async def _streams(everybody: School, name: str, scope: str) -> bool:
    """Asked together with one that nobody may see or that is none, so that no stream begins."""
    answer = await everybody.get(name, "/api/v1/live/stream", scope=[scope, "nothing:at-all"])
    return answer.status_code == 400


async def test_the_overview_leaves_out_what_is_not_his(everybody: School) -> None:
    for name in [*PEOPLE, "admin key"]:
        answer = await everybody.get(name, "/api/v1/dashboard/overview")
        said = answer.json()
        told = [*said["courses"], *said["teams"], *said["students"]]
        seen = {each["scope"] for each in told} | ({"school:all"} if said["school"] else set())
        everything = SCOPES - {"team:theirs/t1"}
        assert seen == (everything if name in SEES_ALL else SEEN[name]), name
        names = {each["student_id"]: each["name"] for each in said["students"]}
        assert set(names.values()) - {None} == _names_for(name)
        assert all(each["on_roster"] == (each["student_id"] != "nobody") for each in said["students"])
        assert _enrolments(said) <= _courses_of(name), name


def _names_for(name: str) -> set[str]:
    if name in ("admin", "admin key"):
        return {"Aoi", "Beni", "Chika"}
    return {"Aoi", "Beni"} if name == "teacher" else set()


def _courses_of(name: str) -> set[str]:
    """Also of a student who is in another's course, only his own are told."""
    return {"mine"} if name in ("viewer", "teacher", "mate") else {"mine", "theirs"}


def _enrolments(said: dict[str, Any]) -> set[str]:
    return {each["course_id"] for student in said["students"] for each in student["enrolments"]}


async def test_a_cookie_is_asked_for_its_origin_where_it_changes_something(everybody: School) -> None:
    cookie = {"Cookie": f"classpulse_access={everybody.headers['admin']['Authorization'].removeprefix('Bearer ')}"}
    url = "/api/v1/admin/dead-letters/drop"

    async def post(**headers: str) -> httpx.Response:
        return await everybody.client.post(url, json={}, headers={**cookie, **headers})

    without = await post()
    assert (without.status_code, "must say its Origin" in without.text) == (403, True)
    assert (await post(Origin="http://evil.example")).status_code == 403
    assert (await post(Origin="http://127.0.0.1:8000")).status_code == 400  # let in, to say that {} is no order
    assert (await everybody.client.get("/api/v1/auth/me", headers=cookie)).json()["username"] == "admin"
    evil = await everybody.client.get("/api/v1/auth/me", headers={**cookie, "Host": "evil.example"})
    assert evil.status_code == 403


async def test_an_admin_s_key_may_be_shown_by_basic_and_a_proxy_s_password_is_not_ours(everybody: School) -> None:
    def basic(password: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"any:{password}".encode()).decode()}

    def shown(name: str) -> str:
        return everybody.headers[name]["Authorization"].removeprefix("Bearer ")

    cookie = {"Cookie": f"classpulse_access={shown('viewer')}"}
    url = "/api/v1/auth/me"
    for given, code, who in (
        (basic(shown("admin key")), 200, "ops"),
        (basic(shown("producer key")), 403, None),
        (basic("cp_nobodys"), 401, None),
        (basic(shown("admin")), 401, None),  # a token is no password
        ({**cookie, **basic("of a proxy")}, 200, "viewer"),
    ):
        answer = await everybody.client.get(url, headers=given)
        assert (answer.status_code, answer.json().get("username")) == (code, who), given


async def test_who_is_refused_and_who_reads_of_a_student_is_in_the_log(everybody: School) -> None:
    await everybody.get("teacher", "/api/v1/history/course:theirs", metric="error_rate")
    await everybody.get("teacher", "/api/v1/history/student:s1", metric="error_rate")
    await everybody.get("teacher", "/api/v1/history/student:s1", metric="error_rate")
    await everybody.get("viewer", "/api/v1/admin/audit")
    wanted = {
        ("teacher", "history", "course:theirs", "refused"): 1,
        ("teacher", "history", "student:s1", "done"): 1,
        ("viewer", "GET /api/v1/admin/audit", "", "refused"): 1,
        ("teacher", "login", "", "done"): 1,
        ("cli:somebody", "account.create", "teacher", "done"): 1,
    }

    async def logged() -> bool:
        rows = await everybody.database.fetch("SELECT * FROM audit_log")
        told = [(row["who"], row["what"], row["whom"], row["result"]) for row in rows]
        return {each: told.count(each) for each in wanted} == wanted

    await eventually(logged, 20, "all of it is in the log")
