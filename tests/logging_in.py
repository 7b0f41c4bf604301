"""A gateway where one logs in, and people of every role who do."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import served
from running import eventually

from gateway import roster, schema
from gateway.accounts import people
from gateway.database import Database, connected
from gateway.roster_file import Row
from gateway.security import keys
from gateway.security.principal import Role
from gateway.settings import GatewaySettings

SECRET = "a secret of the tests, and of nobody else"
PASSWORD = "correct horse battery"
ROSTER = [
    Row("s1", "Aoi", "mine", "Mine", "t1", "Team 1"),
    Row("s2", "Beni", "mine", "Mine", "t2", "Team 2"),
    Row("s1", "Aoi", "theirs", "Theirs", "t9", "Team 9"),
    Row("s3", "Chika", "theirs", "Theirs", "t9", "Team 9"),
]
# Whoever may have courses has `mine`; `mate` has one team of it.
PEOPLE: Mapping[str, tuple[Role, list[people.Grant], str | None]] = {
    "viewer": (Role.VIEWER, [("mine", "")], None),
    "mate": (Role.VIEWER, [("mine", "t1")], None),
    "teacher": (Role.TEACHER, [("mine", "")], None),
    "newcomer": (Role.TEACHER, [], None),
    "admin": (Role.ADMIN, [], None),
    "sre": (Role.SRE, [], None),
    "student": (Role.STUDENT, [], "s1"),
}


def settings(postgres_url: str, **given: object) -> GatewaySettings:
    return served.settings(postgres_url=postgres_url, dashboard_access="accounts", secret_key=SECRET, **given)


async def create(database: Database, *names: str) -> None:
    for name in names or PEOPLE:
        role, grants, student_id = PEOPLE[name]
        await people.create(
            database, name, name.title(), role, PASSWORD, grants, student_id=student_id, by="cli:somebody"
        )


async def log_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD, **more: object) -> httpx.Response:
    return await client.post("/api/v1/auth/login", json={"username": name, "password": password, **more})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@dataclass
class School:
    client: httpx.AsyncClient
    database: Database
    headers: dict[str, dict[str, str]]  # by name; "" is nobody's

    async def get(self, name: str, path: str, /, **query: object) -> httpx.Response:
        given: Any = query
        return await self.client.get(path, params=given, headers=self.headers[name])


@asynccontextmanager
async def school(postgres_url: str, **given: object) -> AsyncIterator[School]:
    """Everybody of PEOPLE is logged in, and `admin key` and `producer key` have theirs; the roster is read."""
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 30) as database:
        await roster.store(database, ROSTER)
        await create(database)
        headers = {
            "": {},
            "admin key": bearer(await keys.create(database, "ops", role=keys.Role.ADMIN)),
            "producer key": bearer(await keys.create(database, "lms", ["mine"])),
        }
        async with served.gateway(settings(postgres_url, **given)) as client:
            for name in PEOPLE:
                headers[name] = bearer((await log_in(client, name)).json()["access_token"])
            found = School(client, database, headers)

            async def read() -> bool:
                answer = await found.get("viewer", "/api/v1/history/student:s1", metric="error_rate")
                return answer.status_code == 200

            await eventually(read, 30, "the roster is read")
            yield found
