"""`classpulse rebuild` against what the real workers have made of real activity, and against what somebody spoilt."""

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from conftest import Bucket
from doors import make_topics
from rich.progress import Progress
from running import PATIENCE, PROJECT, eventually
from worker_process import WorkerProcess, point

from batching import unpack
from gateway import schema
from pipelines.history.influx import InfluxStore
from pipelines.history.postgres import PostgresStore
from pipelines.history.store import HistoryStore
from pipelines.rebuild.activity import reading
from pipelines.rebuild.difference import COMPARED, MERGE, Pair, Rebuilt, Verdict
from pipelines.rebuild.mending import mend
from pipelines.rebuild.report import Findings
from pipelines.rebuild.work import Rebuild
from pipelines.settings import AggregateSettings
from producers import export
from stack import ports
from stack.kafka import Kafka
from stack.postgres import Postgres
from wire import events, history, probe, topics
from wire.events import ActivityEvent, Kind
from wire.metrics import Metric, State
from wire.rebuild import Order

STATEMENTS = PROJECT.parent / "shared" / "data" / "fun-mooc" / "statements.json.gz"
MINUTE_MS, DAY_MS = 60_000, 86_400_000


def week(end_ms: int) -> list[ActivityEvent]:
    """A week of a MOOC as it was received, the newest event at `end_ms`; some sent again, some too late."""
    rng = random.Random(5)
    statements = export.load(STATEMENTS, "unknown", sort=True).events[::12]
    times_ms = [round(datetime.fromisoformat(one["occurred_at"]).timestamp() * 1000) for one in statements]
    shift_ms = end_ms - times_ms[-1]
    happened = [
        ActivityEvent(
            event_id=one["event_id"],
            student_id=one["student_id"],
            course_id=one["course_id"],
            team_id=rng.choice([None, "t1", "t2"]),
            kind=Kind(one["kind"]),
            task_id=one.get("task_id"),
            success=rng.choice([None, True, False]),
            score=rng.choice([None, 0.25, 1.0]),
            occurred_at_ms=time_ms + shift_ms,
            received_at_ms=time_ms + shift_ms + rng.randrange(5_000),
            source="test",
        )
        for one, time_ms in zip(statements, times_ms, strict=True)
    ]
    again = [
        msgspec.structs.replace(one, received_at_ms=one.received_at_ms + rng.randrange(20 * MINUTE_MS))
        for one in rng.sample(happened[:-100], 150)
    ]
    late = [
        msgspec.structs.replace(one, event_id=f"late-{number}", received_at_ms=one.received_at_ms + 30 * 60 * MINUTE_MS)
        for number, one in enumerate(rng.sample(happened[:1_200], 50))
    ]
    return sorted([*happened, *again, *late], key=lambda one: one.received_at_ms)


async def produce(kafka: str, happened: Sequence[ActivityEvent]) -> None:
    """As the door did when they were received."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        for one in happened:
            await producer.send(
                topics.ACTIVITY, key=one.student_id.encode(), value=events.encode(one), timestamp_ms=one.received_at_ms
            )


@dataclass
class Here:
    kafka: str
    postgres_url: str
    home: Path

    async def start(self, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
        given = {"HOME": str(self.home), "KAFKA": self.kafka, "POSTGRES_URL": self.postgres_url, **settings}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "rebuild", *arguments),
            cwd=PROJECT,
            env={**os.environ, **{f"CLASSPULSE_{name}": value for name, value in given.items()}},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def rebuild(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        """The command: its exit code, output and errors."""
        process = await self.start(*arguments, **settings)
        try:
            async with asyncio.timeout(60 * PATIENCE):
                out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, out.decode(), errors.decode()

    async def found(self, **order: Any) -> Findings:
        """What the command's process would find, in this one."""
        return await found(PostgresStore(self.postgres_url), self.kafka, **order)

    async def execute(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.postgres_url)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    async def rows(self, before_ms: int) -> dict[tuple[object, ...], tuple[object, ...]]:
        """Scope, metric, label and start → value and n, of windows that began before."""
        sql = f"SELECT scope, metric, label, start_ms, value, n FROM {history.TABLE} WHERE start_ms < $1"
        rows = await self.execute(sql, before_ms)
        return {tuple(row)[:4]: tuple(row)[4:] for row in rows}


async def found(store: HistoryStore, kafka: str, **order: Any) -> Findings:
    """Closes the store."""
    given = {"from_ms": int(time.time() * 1000) - 3 * DAY_MS} | order
    work = Rebuild(Order(**given), AggregateSettings(kafka=kafka), store, lambda: Progress(disable=True))
    try:
        return await work.run(lambda _: None)
    finally:
        await store.close()


@pytest.fixture
async def here(own_kafka: Kafka, postgres_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Here]:
    """A week that the workers, killed in the middle of it, have made history."""
    if not STATEMENTS.exists():
        pytest.skip("the statements are not part of the project; they are expected in ../shared/data")
    await make_topics(own_kafka.address)
    await schema.migrate(postgres_url)
    workers = [
        WorkerProcess(app, own_kafka.address, tmp_path / f"{app}.log", redis_url=redis_url, postgres_url=postgres_url)
        for app in ("aggregate", "history")
    ]
    happened = week(int(time.time() * 1000) - 10 * MINUTE_MS)
    try:
        for worker in workers:
            worker.start()
        await produce(own_kafka.address, happened[:1_200])
        for worker in workers:
            await worker.until_ready()
        for worker in workers:
            worker.signal(signal.SIGKILL)
            worker.start()
        await produce(own_kafka.address, happened[1_200:])
        yield Here(own_kafka.address, postgres_url, tmp_path / "home")
    finally:
        for worker in workers:
            worker.close()


async def test_it_shows_exactly_what_is_wrong_and_mends_it_where_that_is_wanted(here: Here, tmp_path: Path) -> None:
    async def clean() -> list[Findings]:
        found = await here.found()
        return [] if found.different else [found]

    (right,) = await eventually(clean, 60, "the workers have told and written all of it")
    assert right.compared > 10_000
    assert right.incomplete == ""
    assert min(right.verdicts.folded, right.verdicts.duplicate, right.verdicts.late) > 0

    before_ms = int(time.time() * 1000) - 120 * MINUTE_MS  # what is told as time goes on is about later windows

    async def settled() -> bool:
        """Of what is spoilt below nothing will be told any more."""
        told_once_more = (
            f"SELECT 1 FROM {history.TABLE} WHERE state = $1 AND n > 0 AND metric = ANY($2) AND start_ms < $3"
        )
        of = ["events_per_minute", "active_students", "events_per_hour"]
        return not await here.execute(told_once_more, State.PROVISIONAL, of, before_ms)

    await eventually(settled, 60, "every window of then is told as final")

    # A value that is wrong, a point that is not there, and one of a minute in which nothing happened.
    held = await here.rows(before_ms)
    since_ms = before_ms - 2 * DAY_MS
    (wrong, gone) = [
        next(key for key in held if key[:2] == of and int(str(key[3])) > since_ms)
        for of in (("school:all", "events_per_hour"), ("school:all", "active_students"))
    ]
    bogus = next(
        ("school:all", "events_per_minute", "", start_ms)
        for start_ms in range(since_ms // MINUTE_MS * MINUTE_MS, before_ms, MINUTE_MS)
        if ("school:all", "events_per_minute", "", start_ms) not in held
    )
    where = "WHERE scope = $1 AND metric = $2 AND label = $3 AND start_ms = $4"
    await here.execute(f"UPDATE {history.TABLE} SET value = value + 1 {where}", *wrong)
    await here.execute(f"DELETE FROM {history.TABLE} {where}", *gone)
    columns = "(scope, metric, label, start_ms, window_s, value, n, as_of_ms)"
    await here.execute(f"INSERT INTO {history.TABLE} {columns} VALUES ($1, $2, $3, $4, 60, 9, 9, $4)", *bogus)
    spoilt = await here.rows(before_ms)

    kept = tmp_path / "shadow.db"
    code, out, errors = await here.rebuild("--from", "3d", "--json", "--shadow", str(kept))
    assert code == 1, errors
    shown = [(one["verdict"], one["scope"], one["metric"], one["label"]) for one in json.loads(out)["differences"]]
    assert sorted(shown) == [("differs", *wrong[:3]), ("extra", *bogus[:3]), ("missing", *gone[:3])]
    with sqlite3.connect(kept) as shadow:
        differences = set(shadow.execute("SELECT verdict, scope, metric, label, start_ms FROM differences"))
    shadow.close()
    assert differences == {("differs", *wrong), ("missing", *gone), ("extra", *bogus)}
    assert await here.rows(before_ms) == spoilt, "without --replace nothing is written"

    school = ("--scope", "course:nobody", "--scope", "school:all")
    code, out, errors = await here.rebuild("--from", "3d", *school, "--replace", "--why", "it was spoilt")
    assert code == 0, errors
    assert "of 1 scopes" in out
    assert "1 different, 1 missing in the store, 1 extra in the store" in out
    assert "3 points replaced" in out
    assert "it was spoilt" in errors
    mended = await here.rows(before_ms)
    assert {key for key in mended if mended[key] != spoilt.get(key)} == {wrong, gone, bogus}
    assert (mended[wrong], mended[gone], mended[bogus]) == (held[wrong], held[gone], (0.0, 0))
    for key in (wrong, gone, bogus):
        assert [row["state"] for row in await here.execute(f"SELECT state FROM {history.TABLE} {where}", *key)] == [
            State.CORRECTED
        ]
    assert await clean()

    # Of what is deleted nothing is known: not compared, rather than different.
    admin = AIOKafkaAdminClient(bootstrap_servers=here.kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(topics.ACTIVITY, 3): RecordsToDelete(before_offset=120)})
    await admin.close()
    code, out, errors = await here.rebuild("--from", "6d", "--json")
    assert code == 3, errors
    said = json.loads(out)
    assert (said["differs"], said["missing"], said["extra"]) == (0, 0, 0)
    assert said["compared"] > 1_000
    assert "records of activity are deleted" in said["incomplete"]

    code, out, errors = await here.rebuild("--from", "1h", POSTGRES_URL=f"postgresql://127.0.0.1:{ports.free()}/none")
    assert (code, out) == (3, "")
    assert "postgresql" in errors


@pytest.fixture(params=["influxdb", "postgresql"])
async def new_store(request: pytest.FixtureRequest) -> Callable[[], HistoryStore]:
    """Makes what writes and reads one empty store."""
    if request.param == "influxdb":
        bucket: Bucket = request.getfixturevalue("influx_bucket")
        return lambda: InfluxStore(*bucket)
    url: str = request.getfixturevalue("postgres_url")
    await schema.migrate(url)
    return lambda: PostgresStore(url)


async def test_an_empty_store_is_filled_from_the_topic_alone_and_a_wrong_value_is_found_in_either_store(
    new_store: Callable[[], HistoryStore], own_kafka: Kafka
) -> None:
    await make_topics(own_kafka.address)
    rng, now_ms = random.Random(1), int(time.time() * 1000)
    happened = [
        ActivityEvent(
            event_id=f"e{number}", student_id=f"s{rng.randrange(5)}", course_id="c", team_id="t1", kind=Kind.CODE_RUN,
            success=rng.choice([None, True, False]), occurred_at_ms=at_ms, received_at_ms=at_ms + 500, source="test",
        )
        for number, at_ms in enumerate(range(now_ms - 2 * DAY_MS, now_ms - MINUTE_MS, 10 * MINUTE_MS))
    ]  # fmt: skip

    async def once_more(**order: Any) -> Findings:
        to_ms = now_ms - 3 * 60 * MINUTE_MS  # nothing of it is closed only while this goes on
        return await found(new_store(), own_kafka.address, to_ms=to_ms, **order)

    nothing = await once_more()
    assert (nothing.compared, nothing.incomplete[:9]) == (0, "no record")
    await produce(own_kafka.address, happened)
    empty = await once_more()
    assert empty.different == empty.number(Verdict.MISSING) == empty.compared > 1_000
    assert (await once_more()).different == empty.different, "looking has written nothing"
    await once_more(why="it was empty")
    filled = await once_more()
    assert (filled.different, filled.compared) == (0, empty.compared)

    one = empty.differences[0].rebuilt
    assert one is not None
    wrong = point(77, metric=Metric(one.metric), label=one.label, start_ms=one.start_ms, as_of_ms=now_ms)
    store = new_store()
    await store.write([(one.scope, wrong)])
    await store.close()
    spoilt = await once_more(why="it was spoilt")
    assert [(pair.verdict, pair.key) for pair in spoilt.differences] == [(Verdict.DIFFERS, one[:4])]
    assert (await once_more()).different == 0


async def test_without_kafka_it_says_so(tmp_path: Path) -> None:
    away = f"127.0.0.1:{ports.free()}"
    code, out, errors = await Here(away, "postgresql://127.0.0.1:1/none", tmp_path).rebuild("--from", "1h")
    assert (code, out, errors) == (3, "", f"Kafka at {away}: not reached\n")


async def test_it_can_be_interrupted(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    process = await Here(f"{host}:{port}", "postgresql://127.0.0.1:1/none", tmp_path).start("--from", "1h")
    async with asyncio.timeout(60 * PATIENCE):
        await asked.wait()
        process.send_signal(signal.SIGINT)
        out, errors = await process.communicate()
    server.close()
    assert (process.returncode, out, errors) == (130, b"", b"interrupted; 0 points replaced\n")


async def test_a_store_that_is_away_for_a_moment_is_waited_for(own_postgres: Postgres) -> None:
    await schema.migrate(own_postgres.url)
    windows = [Rebuilt.of("course:c", point(number, minute=number, state=State.FINAL), MERGE) for number in range(1, 4)]
    missing = [Pair(Verdict.MISSING, window, None) for window in windows]
    store, written = PostgresStore(own_postgres.url), list[int]()
    own_postgres.kill()
    mending = asyncio.create_task(mend(store, missing, {MERGE: windows[-1].start_ms}, written.append))
    await asyncio.to_thread(own_postgres.start)
    await mending
    await store.close()
    assert written == [3]
    read = PostgresStore(own_postgres.url)
    first_ms = point(0).start_ms
    held = [one async for part in read.read(COMPARED, first_ms, first_ms + 10 * MINUTE_MS) for one in part]
    await read.close()
    assert sorted(one[:6] for one in held) == [window[:6] for window in windows]


async def test_probes_that_go_on_coming_leave_no_window_out(own_kafka: Kafka) -> None:
    """A partition in which events still come changes while it is compared; one that gets only probes does not."""
    await make_topics(own_kafka.address)
    now_ms = int(time.time() * 1000)
    later_ms = now_ms + DAY_MS
    probes = [probe.event(f"p{number}", "door", number, now_ms) for number in range(len(probe.STUDENTS))]
    mine = ActivityEvent(
        event_id="1", student_id="s1", course_id="c1", kind=Kind.CODE_RUN, occurred_at_ms=now_ms,
        received_at_ms=now_ms, source="lms",
    )  # fmt: skip
    await produce(own_kafka.address, [mine, *probes])
    async with reading(own_kafka.address, unpack.choose("lean"), 0) as activity:
        async for _ in activity.steps():
            pass
        assert activity.read == 1 + len(probes)
        assert len(await activity.moving(now_ms)) == 1  # by what was read: where the event is
        await produce(own_kafka.address, probes)
        assert await activity.moving(later_ms) == []
        await produce(own_kafka.address, [mine])
        assert len(await activity.moving(later_ms)) == 1
