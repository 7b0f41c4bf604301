"""GET /api/v1/dashboard/overview: what `pipelines/live` wrote to Redis, joined with the roster in PostgreSQL."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import redis.asyncio as redis
import served
from running import eventually

from gateway import overview, roster, schema
from gateway.database import connected
from gateway.roster_file import Row
from gateway.settings import GatewaySettings
from pipelines.live.writer import LiveWriter
from wire import channels
from wire.metrics import WINDOW_S, Metric, MetricPoint, ScopeUpdate, State
from wire.scopes import ScopeKind

ROSTER = [
    Row("s1", "Aoi", "py101", "Python", "t1", "Team 1"),
    Row("s1", "Aoi", "ml201", "学習", None, None),
    Row("s2", "Beni", "py101", "Python", "t1", "Team 1"),
    Row("s3", "Chika", "py101", "Python", "t2", "Team 2"),
]


def update(scope: str, as_of_ms: int, **values: float) -> ScopeUpdate:
    points = [
        MetricPoint(
            metric=Metric(name),
            label="code_run" if name == Metric.EVENTS_BY_KIND else "",
            window_s=WINDOW_S[Metric(name)],
            start_ms=as_of_ms - 1_000 * WINDOW_S[Metric(name)],
            value=value,
            n=int(value * 10),
            as_of_ms=as_of_ms,
        )
        for name, value in values.items()
    ]
    return ScopeUpdate(scope=scope, points=points)


@pytest.fixture
async def settings(postgres_url: str, redis_url: str) -> GatewaySettings:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 30) as database:
        await roster.store(database, ROSTER)
    return served.settings(postgres_url=postgres_url, redis_url=redis_url)


@asynccontextmanager
async def serving(settings: GatewaySettings) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that has read its roster."""
    async with served.gateway(settings) as client:

        async def answers() -> bool:
            return (await client.get("/api/v1/dashboard/overview")).status_code == 200

        await eventually(answers, 20, "an overview")
        yield client


async def asked(settings: GatewaySettings) -> dict[str, Any]:
    async with serving(settings) as client:
        return dict((await client.get("/api/v1/dashboard/overview")).json())


async def write(settings: GatewaySettings, *updates: ScopeUpdate) -> None:
    writer = LiveWriter(settings.redis_url)
    await writer.write(updates)
    await writer.close()


async def test_the_silent_and_the_strangers_are_there_too(settings: GatewaySettings) -> None:
    now_ms = int(time.time() * 1000) - 2_000
    at = {"events_by_kind": 1, "events_per_minute": 4.0}
    await write(
        settings,
        update("student:s2", now_ms, active_students=1, help_requests_open=1, error_rate=0.25, **at),
        update("student:s9", now_ms - 1_000, active_students=0, help_requests_open=0, **at),
        update("team:py101/t1", now_ms, active_students=1, **at),
        update("team:x/9/t", now_ms, active_students=1, **at),
        update("course:py101", now_ms, active_students=2, **at),
        update("course:x/9", now_ms, **at),
    )
    said = await asked(settings)
    assert said["truncated"] is False

    python, strange = said["courses"][1], said["courses"][2]
    assert [course["course_id"] for course in said["courses"]] == ["ml201", "py101", "x/9"]
    assert [course["name"] for course in said["courses"]] == ["学習", "Python", None]
    assert (python["scope"], python["students"], python["active"], python["on_roster"]) == ("course:py101", 3, 2, True)
    assert (strange["students"], strange["active"], strange["on_roster"]) == (0, 0, False)

    teams = {team["scope"]: team for team in said["teams"]}
    assert list(teams) == ["team:py101/t1", "team:py101/t2", "team:x/9/t"]
    assert teams["team:py101/t1"]["students"] == 2
    assert teams["team:py101/t1"]["active"] == 1
    assert teams["team:py101/t2"]["values"] == {}
    assert (teams["team:x/9/t"]["course_id"], teams["team:x/9/t"]["team_id"]) == ("x/9", "t")

    students = {student["student_id"]: student for student in said["students"]}
    assert list(students) == ["s1", "s2", "s3", "s9"]
    assert students["s1"]["enrolments"] == [
        {"course_id": "ml201", "team_id": None},
        {"course_id": "py101", "team_id": "t1"},
    ]
    assert (students["s1"]["active"], students["s1"]["last_seen"], students["s1"]["values"]) == (False, None, {})
    assert (students["s2"]["active"], students["s2"]["waiting"], students["s2"]["name"]) == (True, True, "Beni")
    assert (students["s9"]["active"], students["s9"]["waiting"], students["s9"]["name"]) == (False, False, None)
    assert (students["s9"]["on_roster"], students["s9"]["enrolments"]) == (False, [])
    assert students["s2"]["last_seen"] > students["s9"]["last_seen"]


async def test_how_students_are_is_told_of_each_and_summed_up_in_the_school(settings: GatewaySettings) -> None:
    now_ms = int(time.time() * 1000) - 2_000
    people = {"present_students": 3, "idle_students": 1, "struggling_students": 1, "longest_wait_s": 75.5}
    await write(
        settings,
        update("school:all", now_ms, active_students=9, **people),
        update("course:py101", now_ms, **people),
        update("team:py101/t1", now_ms, struggling_students=0, longest_wait_s=0),
        update("student:s1", now_ms, help_requests_open=1, longest_wait_s=75.5, struggling_students=0),
        update("student:s2", now_ms, struggling_students=1, present_students=1, idle_students=0),
    )
    said = await asked(settings)

    def people_of(one: dict[str, Any]) -> list[float | None]:
        return [one["active"], one["present"], one["idle"], one["struggling"], one["longest_wait_s"]]

    assert (said["school"]["scope"], said["school"]["students"]) == ("school:all", 3)
    assert people_of(said["school"]) == [9, 3, 1, 1, 75.5]
    assert set(said["school"]["values"]) == {"active_students", *people}
    unsaid, python = said["courses"]
    assert people_of(python) == [0, 3, 1, 1, 75.5]
    assert people_of(unsaid) == [0, None, None, None, None]
    assert people_of(said["teams"][0]) == [0, None, None, 0, 0]
    waits = [(each["waiting"], each["waiting_s"], each["struggling"]) for each in said["students"]]
    assert waits == [(True, 75.5, False), (False, None, True), (False, None, False)]
    presences = [(each["present"], each["idle"]) for each in said["students"]]
    assert presences == [(None, None), (True, False), (None, None)]


async def test_without_a_word_of_the_school_it_is_there_all_the_same(settings: GatewaySettings) -> None:
    said = (await asked(settings))["school"]
    assert (said["students"], said["active"], said["present"], said["values"]) == (3, 0, None, {})


async def test_a_value_says_its_state_and_its_watermark(settings: GatewaySettings) -> None:
    told = update("course:py101", 1_768_437_000_000, error_rate=0.5)
    (point,) = told.points
    corrected = msgspec.structs.replace(point, state=State.CORRECTED, watermark_ms=1_768_437_180_000)
    await write(settings, told, ScopeUpdate(scope=told.scope, points=[corrected]))
    value = (await asked(settings))["courses"][1]["values"]["error_rate"]
    assert (value["state"], value["watermark"]) == ("corrected", "2026-01-15T00:33:00Z")


async def test_a_value_has_its_window_and_its_age(settings: GatewaySettings) -> None:
    await write(settings, update("student:s1", 1_768_437_000_000, error_rate=0.5, events_by_kind=3))
    values = (await asked(settings))["students"][0]["values"]
    age_s = values["error_rate"].pop("age_s")
    assert values == {
        "error_rate": {
            "value": 0.5,
            "n": 5,
            "window_s": 300,
            "start": "2026-01-15T00:25:00Z",
            "end": "2026-01-15T00:30:00Z",
            "as_of": "2026-01-15T00:30:00Z",
            "state": "provisional",
            "watermark": None,
        }
    }
    assert time.time() - 1_768_437_000 - age_s < 60


async def test_a_value_nobody_can_read_hides_no_other(settings: GatewaySettings) -> None:
    await write(settings, update("student:s1", 1_768_437_000_000, error_rate=0.5, active_students=1))
    async with redis.from_url(settings.redis_url) as client:
        await client.hset(channels.now("student:s1"), "error_rate", "{")
    student = (await asked(settings))["students"][0]
    assert list(student["values"]) == ["active_students"]
    assert student["active"] is True


async def test_too_many_are_cut_and_it_says_so(settings: GatewaySettings) -> None:
    async with redis.from_url(settings.redis_url) as client:
        await client.zadd(channels.seen(ScopeKind.STUDENT), {f"x{number}": number for number in range(2_500)})
    said = await asked(settings)
    assert said["truncated"] is True
    assert len(said["students"]) == overview.EACH_MAX
    assert [student["student_id"] for student in said["students"][:5]] == ["s1", "s2", "s3", "x2499", "x2498"]


async def test_exactly_as_many_as_fit_are_not_cut(settings: GatewaySettings) -> None:
    async with redis.from_url(settings.redis_url) as client:
        strangers = overview.EACH_MAX - 3
        await client.zadd(channels.seen(ScopeKind.STUDENT), {f"x{number}": number for number in range(strangers)})
    said = await asked(settings)
    assert (said["truncated"], len(said["students"])) == (False, overview.EACH_MAX)


@pytest.mark.parametrize("away", ["redis_url", "postgres_url"])
async def test_without_redis_or_a_roster_it_says_so(settings: GatewaySettings, away: str) -> None:
    nowhere = getattr(served.settings(), away)
    async with served.gateway(settings.model_copy(update={away: nowhere})) as client:
        answer = await client.get("/api/v1/dashboard/overview")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"


async def test_it_is_not_for_strangers(settings: GatewaySettings) -> None:
    async with served.gateway(settings, address="10.0.0.1") as client:
        answer = await client.get("/api/v1/dashboard/overview")
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    async with served.gateway(settings) as client:
        answer = await client.get("/api/v1/dashboard/overview", headers={"Host": "evil.example"})
        assert answer.status_code == 403


async def test_open_to_all_it_is_still_not_for_a_page_that_took_a_name_of_its_own(settings: GatewaySettings) -> None:
    wanted = {"dashboard_access": "open", "dashboard_hosts": "localhost,classpulse.example"}
    statuses = {}
    async with served.gateway(settings.model_copy(update=wanted), address="10.0.0.1") as client:
        for host in ("classpulse.example", "evil.example"):
            answer = await client.get("/api/v1/dashboard/overview", headers={"Host": host, "Origin": f"http://{host}"})
            statuses[host] = answer.status_code
    assert statuses["evil.example"] == 403
    assert statuses["classpulse.example"] in (200, 503)  # 503 until the roster has been read
