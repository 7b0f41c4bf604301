"""The store of xAPI statements behind a real gateway, with Kafka and PostgreSQL: what is kept, found and erased."""

import asyncio
import base64
import dataclasses
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import asyncpg
import httpx
import pytest
import pytest_asyncio
from doors import AtTheDoor, at_the_door, problem
from running import eventually

from gateway.database import Database, connected
from gateway.security import keys
from gateway.statements import store, students
from stack.postgres import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "/xapi/statements"
ADL = "http://adlnet.gov/expapi/verbs"
COURSE = "http://adlnet.gov/expapi/activities/course"
HOME = "https://lms.example"


class Lrs:
    """The door with its store, and an admin's key. Each test has students and quizzes of its own, by its mark."""

    def __init__(self, door: AtTheDoor, database: Database, admin: str, other: str) -> None:
        self.door = door
        self.database = database
        self._keys = {"lms": door.key, "admin": admin, "other": other}
        self.mark = ""

    def statement(self, **changes: Any) -> dict[str, Any]:
        course = {
            "id": f"course:{self.door.course}",
            "definition": {"type": COURSE},
        }
        return {
            "id": str(uuid.uuid4()),
            "actor": self.agent("kim"),
            "verb": {"id": f"{ADL}/answered", "display": {"en-US": "answered", "de": "antwortete"}},
            "object": {"id": self.quiz, "definition": {"name": {"en": "Loops", "de": "Schleifen"}}},
            "context": {"contextActivities": {"parent": course}},
            "timestamp": datetime.now(UTC).isoformat(),
            **changes,
        }

    @property
    def quiz(self) -> str:
        return f"{HOME}/quiz/{self.mark}"

    def agent(self, name: str) -> dict[str, Any]:
        return {"name": name.title(), "account": {"homePage": HOME, "name": f"{name}-{self.mark}"}}

    def refers(self, target: str, verb: str = "confirmed", **changes: Any) -> dict[str, Any]:
        thing = {"objectType": "StatementRef", "id": target}
        return self.statement(actor=self.agent("lee"), verb={"id": f"{ADL}/{verb}"}, object=thing, **changes)

    async def send(self, body: object, by: str = "lms", method: str = "POST", url: str = URL) -> httpx.Response:
        """As producers do it: again after 503, which a busy machine may answer."""
        return await self._patiently(lambda: self.send_once(body, by, method, url))

    async def send_once(self, body: object, by: str = "lms", method: str = "POST", url: str = URL) -> httpx.Response:
        return await self.door.client.request(method, url, content=json.dumps(body).encode(), headers=self.headers(by))

    async def get(self, by: str = "admin", url: str = URL, language: str = "", **query: Any) -> httpx.Response:
        texts = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in query.items()}
        asked = f"{url}?{urlencode(texts)}" if texts else url
        headers = {**self.headers(by), "Accept-Language": language}
        return await self._patiently(lambda: self.door.client.get(asked, headers=headers))

    async def _patiently(self, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        async def answered() -> httpx.Response | None:
            answer = await ask()
            return None if answer.status_code == 503 else answer

        answer = await eventually(answered, 40, "an answer other than 503")
        assert answer is not None
        return answer

    async def found(self, **query: Any) -> list[str]:
        """The ids on all pages."""
        answer, ids = await self.get(**query), []
        while True:
            assert answer.status_code == 200, answer.text
            ids += [each["id"] for each in answer.json()["statements"]]
            if not answer.json()["more"]:
                return ids
            answer = await self.get(url=answer.json()["more"])

    async def published(self) -> set[str]:
        """The ids of the events in Kafka."""
        mine = dataclasses.replace(self.door, course=f"course:{self.door.course}")
        return {event.event_id for event in await mine.published()}

    def headers(self, by: str) -> dict[str, str]:
        basic = base64.b64encode(f"any:{self._keys[by]}".encode()).decode()
        return {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/json",
            "X-Experience-API-Version": "1.0.3",
        }


@pytest.fixture(scope="module")
def own_database(postgres: Postgres) -> Iterator[str]:
    """The module's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    yield postgres.url_of(name)
    postgres.drop_database(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(with_topics: str, own_database: str) -> AsyncIterator[Lrs]:
    plenty = "100000/minute"  # a test reads on and on
    rates = {"rate_limit_reads": plenty, "rate_limit_reads_per_user": plenty}
    async with at_the_door(with_topics, own_database, xapi_store=True, **rates) as door:
        await door.opened()
        async with connected(own_database, 10) as database:
            admin = await keys.create(database, "ops", role=keys.Role.ADMIN)
            other = await keys.create(database, "other", [f"course:{door.course}"])
            yield Lrs(door, database, admin, other)


@pytest_asyncio.fixture(loop_scope="module")
async def lrs(whole: Lrs) -> Lrs:
    whole.mark = uuid.uuid4().hex[:8]
    return whole


async def taken(lrs: Lrs, *statements: dict[str, Any], by: str = "lms") -> list[str]:
    answer = await lrs.send(list(statements), by)
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.json()
    return found


async def test_what_was_acknowledged_is_found_as_it_came_and_was_published(lrs: Lrs) -> None:
    sent = lrs.statement()
    sent["context"]["extensions"] = {"https://e.example/x": {"n": 1.10, "ä": ["\u2028", None]}}
    answer = await lrs.send(sent)
    assert answer.json() == [sent["id"]]
    single = await lrs.get(statementId=sent["id"].upper())
    assert single.status_code == 200, single.text
    shown = single.json()
    assert (shown["version"], shown["authority"]["account"]["name"]) == ("1.0.0", "lms")
    stored = datetime.fromisoformat(shown["stored"])
    assert parsedate_to_datetime(single.headers["Last-Modified"]) == stored.replace(microsecond=0)
    assert datetime.fromisoformat(single.headers["X-Experience-API-Consistent-Through"]) >= stored
    assert datetime.fromisoformat(answer.headers["X-Experience-API-Consistent-Through"]) >= stored
    assert single.headers["X-Experience-API-Version"] == "1.0.3"
    sent["context"]["contextActivities"]["parent"] = [sent["context"]["contextActivities"]["parent"]]
    assert {name: value for name, value in shown.items() if name not in ("authority", "stored", "version")} == sent
    head = await lrs.door.client.head(f"{URL}?statementId={sent['id']}", headers=lrs.headers("admin"))
    assert (head.status_code, head.headers["Last-Modified"]) == (200, single.headers["Last-Modified"])
    assert sent["id"] in await lrs.published()


async def test_without_id_and_time_both_are_filled_in(lrs: Lrs) -> None:
    sent = lrs.statement()
    del sent["id"], sent["timestamp"]
    (made,) = await taken(lrs, sent)
    shown = (await lrs.get(statementId=made)).json()
    assert shown["timestamp"] == shown["stored"]


async def test_the_same_again_is_fine_and_another_is_409_and_nothing_of_its_batch_is_kept(lrs: Lrs) -> None:
    first, fresh = lrs.statement(), lrs.statement()
    await taken(lrs, first)
    again = {**first, "verb": {"id": first["verb"]["id"]}, "stored": "2020-01-01T00:00:00Z"}
    assert await taken(lrs, again) == [first["id"]]
    assert (await lrs.send(again, method="PUT", url=f"{URL}?statementId={first['id']}")).status_code == 204
    other = {**first, "result": {"success": False}}
    assert first["id"] in problem(await lrs.send([fresh, other]), 409)["detail"]
    assert problem(await lrs.send(other, method="PUT", url=f"{URL}?statementId={first['id']}"), 409)
    assert (await lrs.get(statementId=fresh["id"])).status_code == 404
    assert (await lrs.get(statementId=first["id"])).json()["verb"] == first["verb"]
    assert fresh["id"] not in await lrs.published()


async def test_every_filter_finds_what_it_says(lrs: Lrs) -> None:
    registration = str(uuid.uuid4())
    plain = lrs.statement()
    danced = lrs.statement(actor=lrs.agent("lee"), verb={"id": f"{ADL}/danced-{lrs.mark}"})
    registered = lrs.statement(
        context={**plain["context"], "registration": registration, "instructor": lrs.agent("kim")}
    )
    registered["actor"] = lrs.agent("lee")
    within = {"objectType": "SubStatement", "actor": lrs.agent("sub"), "verb": {"id": f"{ADL}/passed"}}
    planned = lrs.statement(actor=lrs.agent("lee"), object={**within, "object": {"id": f"{lrs.quiz}/inner"}})
    team = {"objectType": "Group", "member": [lrs.agent("kim"), lrs.agent("lee")]}
    together = lrs.statement(actor=team, object={"id": f"{lrs.quiz}/team"})
    mentored = lrs.statement(actor=lrs.agent("lee"), object={"objectType": "Agent", **lrs.agent("kim")})
    names = {"plain": plain, "danced": danced, "registered": registered, "planned": planned, "together": together}
    names["mentored"] = mentored
    await taken(lrs, *names.values())
    by_id = {statement["id"]: name for name, statement in names.items()}

    async def found(**query: object) -> set[str]:
        return {by_id[each] for each in await lrs.found(**query) if each in by_id}

    kim = lrs.agent("kim")
    assert await found(agent=kim) == {"plain", "together", "mentored"}
    assert await found(agent=kim, related_agents="true") == {"plain", "together", "mentored", "registered"}
    assert await found(agent=lrs.agent("sub")) == set()
    assert await found(agent=lrs.agent("sub"), related_agents="true") == {"planned"}
    assert await found(verb=danced["verb"]["id"]) == {"danced"}
    assert await found(activity=lrs.quiz) == {"plain", "danced", "registered"}
    assert await found(activity=f"{lrs.quiz}/inner") == set()
    assert await found(activity=f"{lrs.quiz}/inner", related_activities="true") == {"planned"}
    assert await found(registration=registration.upper()) == {"registered"}
    assert await found(agent=lrs.agent("lee"), verb=danced["verb"]["id"], activity=lrs.quiz) == {"danced"}
    assert await found(agent=kim, verb=danced["verb"]["id"]) == set()
    authority = {"account": {"homePage": "https://classpulse.invalid/keys", "name": "lms"}}
    assert await found(agent=authority, related_agents="true", activity=lrs.quiz) == {"plain", "danced", "registered"}


async def test_pages_go_on_where_the_one_before_ended_whatever_comes_meanwhile(lrs: Lrs) -> None:
    first = [await taken(lrs, lrs.statement()) for _ in range(3)]
    ids = [each for (each,) in first]
    stored = {each: (await lrs.get(statementId=each)).json()["stored"] for each in ids}
    assert len(set(stored.values())) == 3
    newest = (await lrs.get(activity=lrs.quiz, limit=2)).json()
    assert [each["id"] for each in newest["statements"]] == [ids[2], ids[1]]
    oldest = (await lrs.get(activity=lrs.quiz, limit=2, ascending="true")).json()
    assert [each["id"] for each in oldest["statements"]] == [ids[0], ids[1]]
    (late,) = await taken(lrs, lrs.statement())
    assert newest["more"].startswith(f"{URL}?more=")
    rest = (await lrs.get(url=newest["more"])).json()
    assert ([each["id"] for each in rest["statements"]], rest["more"]) == ([ids[0]], "")
    rest = (await lrs.get(url=oldest["more"])).json()
    assert [each["id"] for each in rest["statements"]] == [ids[2], late]
    assert await lrs.found(activity=lrs.quiz, since=stored[ids[0]], until=stored[ids[1]]) == [ids[1]]
    assert await lrs.found(activity=lrs.quiz, since=stored[ids[1]], ascending="true") == [ids[2], late]
    assert (await lrs.get(activity=f"{lrs.quiz}/none")).json() == {"statements": [], "more": ""}
    problem(await lrs.get("lms", url=newest["more"]), 403)


async def test_many_writers_at_once_are_read_in_one_order_with_nothing_missed(lrs: Lrs) -> None:
    """Whoever reads on from where he was, while others write, sees each once, and what he was told is complete."""
    writing = asyncio.gather(*(taken(lrs, lrs.statement(), lrs.statement()) for _ in range(12)))
    seen: list[str] = []
    since: dict[str, str] = {}
    while True:
        done = writing.done()
        answer = await lrs.get(activity=lrs.quiz, ascending="true", **since)
        page = answer.json()["statements"]
        seen += [each["id"] for each in page]
        if page:
            since = {"since": page[-1]["stored"]}
        if done:
            break
    assert sorted(seen) == sorted(each for both in await writing for each in both)


async def test_voided_is_a_statement_whichever_came_first_and_what_voids_stays(lrs: Lrs) -> None:
    target, later = lrs.statement(), lrs.statement()
    voiding, early = lrs.refers(target["id"], "voided"), lrs.refers(later["id"], "voided")
    await taken(lrs, target)
    await taken(lrs, voiding, early)
    await taken(lrs, later)
    for voided, by in ((target, voiding), (later, early)):
        problem(await lrs.get(statementId=voided["id"]), 404)
        assert (await lrs.get(voidedStatementId=voided["id"])).json()["id"] == voided["id"]
        assert (await lrs.get(statementId=by["id"])).status_code == 200
        problem(await lrs.get(voidedStatementId=by["id"]), 404)
    # Both are found by what they void, which itself is not.
    assert set(await lrs.found(activity=lrs.quiz)) == {voiding["id"], early["id"]}
    await taken(lrs, lrs.refers(voiding["id"], "voided"))  # which nothing can void
    assert (await lrs.get(statementId=voiding["id"])).status_code == 200
    events = await lrs.published() & {target["id"], later["id"], voiding["id"], early["id"]}
    assert events == {target["id"], later["id"]}


async def test_a_key_voids_only_what_came_by_it(lrs: Lrs) -> None:
    sent = lrs.statement()
    await taken(lrs, sent)
    fresh = lrs.statement()
    assert sent["id"] in problem(await lrs.send([fresh, lrs.refers(sent["id"], "voided")], "other"), 403)["detail"]
    assert (await lrs.get(statementId=sent["id"])).status_code == 200
    assert (await lrs.get(statementId=fresh["id"])).status_code == 404
    # One that it does not know may still come by it, or by another key: then it is not voided.
    later = lrs.statement()
    await taken(lrs, lrs.refers(later["id"], "voided"), by="other")
    await taken(lrs, later)
    assert (await lrs.get(statementId=later["id"])).status_code == 200


async def test_what_is_no_event_must_be_of_the_key_s_course_too(lrs: Lrs) -> None:
    team = {"objectType": "Group", "member": [lrs.agent("kim")]}
    theirs = {"contextActivities": {"parent": {"id": "course:theirs", "definition": {"type": COURSE}}}}
    wrong = problem(await lrs.send(lrs.statement(actor=team, context=theirs), "other"), 400)
    assert "may not send of the course course:theirs" in wrong["detail"]
    mine = lrs.statement(actor=team)
    await taken(lrs, mine, by="other")
    assert (await lrs.get(statementId=mine["id"])).json()["authority"]["account"]["name"] == "other"
    assert mine["id"] not in await lrs.published()


async def test_what_refers_is_found_by_what_it_refers_to_whichever_came_first(lrs: Lrs) -> None:
    target = lrs.statement()
    near = lrs.refers(target["id"])
    far = lrs.refers(near["id"])
    await taken(lrs, far)
    await taken(lrs, near)
    assert await lrs.found(activity=lrs.quiz) == []
    await taken(lrs, target)
    everything = {far["id"], near["id"], target["id"]}
    assert set(await lrs.found(activity=lrs.quiz, agent=lrs.agent("kim"))) == everything
    after = lrs.refers(far["id"])
    await taken(lrs, after)
    assert set(await lrs.found(activity=lrs.quiz)) == everything | {after["id"]}
    a, b = lrs.refers(""), lrs.refers("")  # in a circle
    a["object"]["id"], b["object"]["id"] = b["id"], a["id"]
    await taken(lrs, a, b)
    assert (await lrs.get(statementId=a["id"])).status_code == 200


async def test_formats_languages_and_multipart(lrs: Lrs) -> None:
    (sent,) = await taken(lrs, lrs.statement())
    ids = (await lrs.get(statementId=sent, format="ids")).json()
    assert ids["actor"] == {"objectType": "Agent", "account": lrs.agent("kim")["account"]}
    assert (ids["verb"], ids["object"]) == ({"id": f"{ADL}/answered"}, {"objectType": "Activity", "id": lrs.quiz})
    (one,) = (await lrs.get(activity=lrs.quiz, format="canonical", language="de-CH, de;q=0.9, en;q=0.1")).json()[
        "statements"
    ]
    assert one["verb"]["display"] == {"de": "antwortete"}
    assert one["object"]["definition"]["name"] == {"de": "Schleifen"}
    answer = await lrs.get(statementId=sent, attachments="true")
    assert answer.headers["content-type"].startswith("multipart/mixed; boundary=")
    boundary = answer.headers["content-type"].partition("boundary=")[2]
    _, part, end = answer.content.split(f"--{boundary}".encode())
    assert (json.loads(part.partition(b"\r\n\r\n")[2])["id"], end) == (sent, b"--\r\n")


async def test_who_may_ask_and_how_and_that_it_is_in_the_log(lrs: Lrs) -> None:
    await taken(lrs, lrs.statement())
    problem(await lrs.get("lms"), 403)
    problem(await lrs.door.client.get(URL), 401)
    wrong = await lrs.get(Verb="x", limit=1)
    assert [error["field"] for error in problem(wrong, 400)["errors"]] == ["Verb"]
    without = {name: value for name, value in lrs.headers("admin").items() if not name.startswith("X-")}
    assert (
        "X-Experience-API-Version is missing" in problem(await lrs.door.client.get(URL, headers=without), 400)["detail"]
    )
    await lrs.get(agent=lrs.agent("kim"))

    async def logged() -> bool:
        sql = "SELECT FROM audit_log WHERE who = 'key:ops' AND what = 'statements' AND whom = $1"
        return len(await lrs.database.fetch(sql, f"student:kim-{lrs.mark}")) == 1

    await eventually(logged, 20, "the reading is in the log")


async def test_one_student_s_statements_are_given_and_erased(lrs: Lrs) -> None:
    his, voided, other = lrs.statement(), lrs.statement(), lrs.statement(actor=lrs.agent("lee"))
    voiding = {**lrs.refers(voided["id"], "voided"), "actor": lrs.agent("kim")}
    team = {"objectType": "Group", "name": "T", "member": [lrs.agent("kim"), lrs.agent("lee")]}
    with_team = lrs.statement(actor=lrs.agent("lee"), context={**other["context"], "team": team})
    refers = lrs.refers(his["id"])
    await taken(lrs, his, voided, other, voiding, with_team, refers)
    kim = f"kim-{lrs.mark}"
    async with lrs.database.transaction(readonly=True) as connection:
        given = [json.loads(each)["id"] async for each in students.of_student(connection, kim)]
    assert given == [each["id"] for each in (his, voided, voiding, with_team)]
    async with lrs.database.transaction() as connection:
        assert await students.erase(connection, kim) == (2, 2)
    async with lrs.database.transaction(readonly=True) as connection:
        assert [each async for each in students.of_student(connection, kim)] == []
    assert await lrs.found(agent=lrs.agent("kim"), related_agents="true") == []
    problem(await lrs.get(statementId=his["id"]), 404)
    shown = (await lrs.get(statementId=with_team["id"])).json()
    assert [each["account"]["name"] for each in shown["context"]["team"]["member"]] == ["erased", f"lee-{lrs.mark}"]
    assert (await lrs.get(statementId=voiding["id"])).json()["actor"]["account"]["name"] == "erased"
    assert set(await lrs.found(activity=lrs.quiz)) == {other["id"], with_team["id"], voiding["id"], refers["id"]}
    rows = await lrs.database.fetch("SELECT convert_from(body, 'UTF8') AS body FROM statements")
    assert not [row for row in rows if kim in row["body"]]


async def test_the_table_only_grows(lrs: Lrs) -> None:
    await taken(lrs, lrs.statement())
    for sql in ("UPDATE statements SET voids = true", "DELETE FROM statements", "TRUNCATE statements"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="only grow"):
            async with lrs.database.transaction() as connection:
                await connection.execute(sql)


async def test_where_keeping_takes_too_long_it_is_503_and_the_same_again_is_taken(lrs: Lrs) -> None:
    sent = lrs.statement()
    async with lrs.database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", store.LOCK)
        refused = await lrs.send_once(sent)
        assert "send the same again" in problem(refused, 503)["detail"]
        assert refused.headers["Retry-After"]
    await taken(lrs, sent)
    assert await lrs.found(activity=lrs.quiz) == [sent["id"]]


async def test_without_postgresql_nothing_is_accepted(with_topics: str, own_postgres: Postgres) -> None:
    async with at_the_door(with_topics, own_postgres.url, xapi_store=True) as door:
        await door.opened()
        lrs = Lrs(door, Database(own_postgres.url), "", "")
        lrs.mark = "away"
        await taken(lrs, lrs.statement())
        own_postgres.stop()
        sent = lrs.statement()
        refused = await lrs.send_once(sent)
        assert "PostgreSQL" in problem(refused, 503)["detail"] or "not kept" in refused.json()["detail"]
        assert refused.headers["Retry-After"]
        assert sent["id"] not in await lrs.published()
