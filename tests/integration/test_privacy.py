"""One student, in real servers: what is held of him is told, and erased where it can be; another's stays."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
from aiokafka import AIOKafkaProducer
from conftest import Bucket
from running import PATIENCE, PROJECT

from gateway import roster, schema
from gateway.accounts import identities, people, sessions
from gateway.database import Database, connected
from gateway.history.influx import InfluxReader
from gateway.history.postgres import PostgresReader
from gateway.history.store import HistoryReader
from gateway.ingest.xapi import adapter
from gateway.ingest.xapi.adapter import Read
from gateway.privacy import retention, student
from gateway.privacy.retention import ACCOUNTS, AUDIT_LOG, HISTORY, LIVE, ROSTER, STATEMENTS, STUDENTS, in_kafka
from gateway.privacy.store import Store
from gateway.roster_file import Row
from gateway.security import audit_log
from gateway.security.principal import Role
from gateway.statements import record
from gateway.statements.store import Statements
from pipelines.history.influx import InfluxStore
from pipelines.history.postgres import PostgresStore
from pipelines.live.writer import LiveWriter
from wire import channels, dead_letters, events, topics
from wire.dead_letters import DeadLetter, Reason
from wire.events import ActivityEvent, Kind
from wire.metrics import DAY_S, Metric, MetricPoint, ScopeUpdate
from wire.scopes import ScopeKind

PASSWORD = "correct horse battery"
ERASED = {ROSTER, ACCOUNTS, STATEMENTS, HISTORY, LIVE}


@dataclass
class School:
    his: str  # ids of this test's own, as the topics are everybody's
    others: str
    database: Database
    history: HistoryReader
    redis: Any
    kafka: str
    environment: dict[str, str]  # of a command on it

    @property
    def stores(self) -> list[Store]:
        return student.stores(self.database, self.history, self.redis, self.kafka, 30 * PATIENCE)

    async def held(self, who: str) -> dict[str, int]:
        """Number of each place; the audit log left out, which grows with being asked."""
        exported = await student.export(self.database, self.stores, who, by="cli:test")
        assert exported.gaps == []
        return {where: len(held) for where, held in exported.held.items() if where != AUDIT_LOG}


@pytest.fixture(params=["postgresql", "influxdb"])
async def school(
    with_topics: str, postgres_url: str, redis_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[School]:
    """Two students, each with something in every store."""
    await schema.migrate(postgres_url)
    environment = {"CLASSPULSE_POSTGRES_URL": postgres_url, "CLASSPULSE_REDIS_URL": redis_url}
    environment |= {"CLASSPULSE_KAFKA": with_topics, "CLASSPULSE_INFLUX_URL": ""}
    async with connected(postgres_url, 30) as database, redis.from_url(redis_url, decode_responses=True) as client:
        writer: Any = PostgresStore(postgres_url)
        reader: HistoryReader = PostgresReader(database)
        if request.param == "influxdb":
            bucket: Bucket = request.getfixturevalue("influx_bucket")
            writer, reader = InfluxStore(*bucket), InfluxReader(*bucket)
            environment |= dict(zip(("CLASSPULSE_INFLUX_URL", "CLASSPULSE_INFLUX_TOKEN"), bucket[:2], strict=True))
            environment |= {"CLASSPULSE_INFLUX_ORG": bucket.org, "CLASSPULSE_INFLUX_BUCKET": bucket.name}
        live = LiveWriter(redis_url)
        his, others = (f"s-{uuid.uuid4().hex[:8]}" for _ in range(2))
        for who in (his, others):
            await _enrol(database, who)
            await _keep(database, who)
            points = _points()
            await live.write([ScopeUpdate(scope=f"student:{who}", points=points)])
            await writer.write([(f"student:{who}", point) for point in points])
        await _post(with_topics, his, others)
        yield School(his, others, database, reader, client, with_topics, environment)
        await live.close()
        await writer.close()
        await reader.close()


async def _enrol(database: Database, who: str) -> None:
    await roster.store(database, [Row(who, f"Name of {who}", "c1", "Course", "t1", "Team")])
    await roster.store(database, [Row(who, f"Name of {who}", "c2", "Other", None, None)])
    name = f"user-{who}"
    await people.create(database, name, f"Name of {who}", Role.STUDENT, PASSWORD, student_id=who, by="cli:test")
    await identities.link(database, name, "https://id.example.org", "sub", who, by="cli:test")
    account = await people.find(database, name)
    assert account is not None
    await sessions.begin(database, account, "10.0.0.1")


async def _keep(database: Database, who: str) -> None:
    """An xAPI statement of his."""
    actor = {"account": {"homePage": "https://lms.example.org", "name": who}}
    said = {"actor": actor, "verb": {"id": "https://example.org/ran"}, "object": {"id": "https://example.org/x"}}
    (read,) = adapter.read(msgspec.json.encode(said), 1)
    assert isinstance(read, Read)
    await Statements(database).keep([record.record(read, 1, "lms")], "lms")


def _points() -> list[MetricPoint]:
    now_ms = int(datetime.now(UTC).timestamp()) * 1_000
    minute, day = now_ms // 60_000 * 60_000, now_ms // (DAY_S * 1_000) * DAY_S * 1_000
    seen: dict[str, Any] = {"n": 1, "as_of_ms": now_ms}
    return [
        MetricPoint(metric=Metric.EVENTS_PER_MINUTE, window_s=60, start_ms=minute, value=3, **seen),
        MetricPoint(metric=Metric.EVENTS_BY_KIND, label="code_run", window_s=DAY_S, start_ms=day, value=2, **seen),
    ]


async def _post(kafka: str, *students: str) -> None:
    """Of each an event, a late one, and a letter."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    try:
        for who in students:
            event = events.encode(
                ActivityEvent(
                    event_id=f"e-{who}",
                    student_id=who,
                    course_id="c1",
                    kind=Kind.CODE_RUN,
                    occurred_at_ms=1,
                    received_at_ms=2,
                    source="lms",
                )
            )
            letter = dead_letters.encode(
                DeadLetter(
                    topic=topics.ACTIVITY,
                    partition=0,
                    offset=1,
                    timestamp_ms=3,
                    reason=Reason.INVALID,
                    detail="of a test",
                    key=who.encode(),
                    value=b"\xff",
                )
            )
            for topic, value in ((topics.ACTIVITY, event), (topics.LATE, event), (topics.DEAD_LETTERS, letter)):
                await producer.send_and_wait(topic, value, key=who.encode())
    finally:
        await producer.stop()


async def classpulse(school: School, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "cli.main", "privacy", *arguments],
        cwd=PROJECT,
        env={**os.environ, **school.environment, "CLASSPULSE_HOME": "/nonexistent", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120 * PATIENCE,
    )


ALL = {
    ROSTER: 3,
    ACCOUNTS: 1,
    STATEMENTS: 1,
    HISTORY: 2,
    LIVE: 5,  # now, head, stream, a day, and when he was seen
    **{in_kafka(topic): 1 for topic in (topics.ACTIVITY, topics.LATE, topics.DEAD_LETTERS)},
}


async def test_all_that_is_held_is_told_and_nothing_of_another(school: School) -> None:
    assert await school.held(school.his) == ALL
    exported = (await student.export(school.database, school.stores, school.his, by="cli:test")).held
    text = msgspec.json.encode(exported).decode()
    assert school.others not in text
    assert f"Name of {school.his}" in text
    assert "argon2" not in text
    assert {(row["who"], row["what"]) for row in exported[AUDIT_LOG]} == {
        ("cli:test", "account.create"),
        ("cli:test", "account.link"),
        (f"user-{school.his}", "login"),
        ("cli:test", "privacy.export"),
    }
    (event,) = exported[in_kafka(topics.ACTIVITY)]
    assert event["value"]["event_id"] == f"e-{school.his}"
    assert {point["metric"] for point in exported[HISTORY]} == {"events_per_minute", "events_by_kind"}


async def test_what_can_be_erased_is_and_the_rest_is_told_when_it_goes(school: School) -> None:
    before = await school.held(school.others)
    looked_at = await student.look(school.stores, school.his)
    assert await school.held(school.his) == ALL
    erased = await student.erase(school.database, school.stores, school.his, by="cli:test", why="he asked")
    assert (looked_at.done, erased.done, erased.gaps) == (False, True, [])
    assert {lot.where: lot.number for lot in erased.lots if not lot.goes} == {where: ALL[where] for where in ERASED}
    assert [lot._replace(number=0) for lot in erased.lots] == [lot._replace(number=0) for lot in looked_at.lots]
    goes = {lot.where: lot.goes for lot in erased.lots if lot.goes}
    gone = datetime.now(UTC) + timedelta(days=37)
    assert goes[in_kafka(topics.ACTIVITY)] in {f"by {gone - timedelta(days=ago):%Y-%m-%d}" for ago in (0, 1)}
    assert goes[in_kafka(STUDENTS)].startswith("some 3 days")
    assert await school.held(school.his) == {where: 0 if where in ERASED else number for where, number in ALL.items()}
    assert await school.held(school.others) == before
    assert await people.find(school.database, f"user-{school.his}") is None
    assert await school.redis.zscore(channels.seen(ScopeKind.STUDENT), school.his) is None
    rows = await school.database.fetch("SELECT * FROM audit_log WHERE what = 'privacy.erase' ORDER BY seq")
    assert [(row["result"], row["whom"]) for row in rows] == [(r, f"student:{school.his}") for r in ("begun", "done")]
    assert rows[0]["detail"] == "he asked"
    assert (await audit_log.verify(school.database)).wrong == []


async def test_each_place_is_in_the_table_of_how_long_things_are_kept(school: School) -> None:
    erased = await student.look(school.stores, school.his)
    assert {lot.where: not lot.goes for lot in erased.lots} == {kept.where: kept.erased for kept in retention.TABLE}


async def test_a_store_that_is_away_keeps_no_other_from_it(school: School) -> None:
    async with redis.from_url("redis://127.0.0.1:1/0", decode_responses=True) as away:
        without = student.stores(school.database, school.history, away, school.kafka, 30 * PATIENCE)
        exported = await student.export(school.database, without, school.his, by="cli:test")
        erased = await student.erase(school.database, without, school.his, by="cli:test", why="he asked")
    for gaps in (exported.gaps, erased.gaps):
        assert [gap.partition(":")[0] for gap in gaps] == ["redis"]
    assert {where for where, number in (await school.held(school.his)).items() if number} == {
        LIVE,
        *map(in_kafka, (topics.ACTIVITY, topics.LATE, topics.DEAD_LETTERS)),
    }
    last = (await school.database.fetch("SELECT * FROM audit_log ORDER BY seq DESC LIMIT 2"))[1]
    assert (last["what"], last["result"]) == ("privacy.erase", "partly")


@pytest.mark.parametrize("school", ["influxdb"], indirect=True)
async def test_the_commands(school: School, tmp_path: Path) -> None:
    file = tmp_path / "his.json"
    told = await classpulse(school, "export", school.his, "--file", str(file))
    assert (told.returncode, told.stdout) == (0, ""), told.stderr
    document = json.loads(file.read_text())
    assert (document["student_id"], document["complete"], file.stat().st_mode & 0o077) == (school.his, True, 0)
    assert {where: len(held) for where, held in document["held"].items() if where != AUDIT_LOG} == ALL
    looked_at = await classpulse(school, "erase", school.his)
    assert (looked_at.returncode, "Nothing was done" in looked_at.stdout) == (0, True), looked_at.stderr
    assert "would be erased" in looked_at.stdout
    refused = await classpulse(school, "erase", school.his, "--yes")
    assert (refused.returncode, "needs a --reason" in refused.stderr) == (2, True)
    assert await school.held(school.his) == ALL
    done = await classpulse(school, "erase", school.his, "--yes", "--reason", "he asked")
    assert done.returncode == 0, done.stderr
    assert (await school.held(school.his))[ROSTER] == 0
    nobody = await classpulse(school, "erase", "nobody", "--yes", "--reason", "he asked")
    assert (nobody.returncode, "nothing is held of 'nobody'" in nobody.stderr) == (1, True)
    assert await school.database.fetch("SELECT 1 FROM audit_log WHERE whom = 'student:nobody'") == []
