"""The workers `live` and `history` as processes: their store away at start and in the middle of it, and bad records."""

import asyncio
import json
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis.asyncio as redis
from doors import make_topics
from redis.exceptions import RedisError
from running import eventually
from worker_process import PARTITIONS, WorkerProcess, apply_topics, point, read, send, tell

from gateway import schema
from gateway.history.influx import InfluxReader
from stack import ports
from stack.influx import Influx
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.server import Server
from stack.valkey import Valkey
from wire import channels, dead_letters, history, metrics, topics
from wire.dead_letters import Reason
from wire.metrics import Metric, ScopeUpdate

UPDATES = 300


@pytest.fixture
def broker(own_kafka: Kafka) -> Kafka:
    """Its topics are this test's alone: nobody else's metrics, no group that has read them."""
    apply_topics(own_kafka)
    return own_kafka


@pytest.fixture
def home(servers_dir: Path) -> Iterator[Path]:
    folder = servers_dir / f"own-{uuid.uuid4().hex[:8]}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_valkey(home: Path, cache_dir: Path) -> Iterator[Valkey]:
    """Not started."""
    server = Valkey(home, cache=cache_dir)
    yield server
    server.kill()


@pytest.fixture
def own_postgres(home: Path, cache_dir: Path) -> Iterator[Postgres]:
    """Not started."""
    server = Postgres(home, cache=cache_dir)
    yield server
    server.kill()


@pytest.fixture
def own_influx(influx: Influx, home: Path, cache_dir: Path) -> Iterator[Influx]:
    """Set up once, so that its token is known, and stopped."""
    server = Influx(home, program=influx.program, cache=cache_dir)
    server.start()
    server.stop()
    yield server
    server.kill()


def updates(first: int, number: int = UPDATES) -> list[ScopeUpdate]:
    """Minutes of seven courses; of each course the last one is the newest."""
    return [ScopeUpdate(scope=f"course:c{n % 7}", points=[point(n, minute=n)]) for n in range(first, first + number)]


async def minutes_in_postgres(url: str) -> set[tuple[str, int]]:
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return set()
    try:
        rows = await connection.fetch(
            f"SELECT scope, value FROM {history.TABLE} WHERE metric = $1", "events_per_minute"
        )
        return {(row["scope"], int(row["value"])) for row in rows}
    finally:
        await connection.close()


async def minutes_in_influx(server: Influx) -> set[tuple[str, int]]:
    reader = InfluxReader(server.url, server.token, server.org, server.bucket)
    try:
        return {
            (f"course:c{number}", int(one.value))
            for number in range(7)
            for one in await reader.read(f"course:c{number}", Metric.EVENTS_PER_MINUTE, "", 0, 2_000_000_000_000)
        }
    finally:
        await reader.close()


async def newest_in_redis(url: str) -> set[tuple[str, int]]:
    try:
        async with redis.from_url(url, socket_timeout=2) as client:
            scopes = [f"course:c{number}" for number in range(7)]
            held = [await client.hget(channels.now(scope), "events_per_minute") for scope in scopes]
    except (RedisError, OSError):
        return set()
    return {(scope, int(metrics.decode_point(one).value)) for scope, one in zip(scopes, held, strict=True) if one}


def expected(*told: list[ScopeUpdate]) -> set[tuple[str, int]]:
    return {(update.scope, int(update.points[0].value)) for updates_ in told for update in updates_}


class Case:
    """One sink, its store, and what the store must hold in the end."""

    def __init__(self, app: str, store: Server, **settings: object) -> None:
        self.app = app
        self.store = store
        self.settings = settings

    async def prepare(self) -> None:
        """Once, when the store runs for the first time."""
        if isinstance(self.store, Postgres):
            await schema.migrate(self.store.url)

    async def holds(self, *told: list[ScopeUpdate]) -> bool:
        if isinstance(self.store, Postgres):
            return await minutes_in_postgres(self.store.url) == expected(*told)
        if isinstance(self.store, Influx):
            return await minutes_in_influx(self.store) == expected(*told)
        assert isinstance(self.store, Valkey)
        newest = {update.scope: update for updates_ in told for update in updates_}
        return await newest_in_redis(self.store.url) == expected(list(newest.values()))


@pytest.fixture(params=["live", "history-postgresql", "history-influxdb"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "live":
        valkey: Valkey = request.getfixturevalue("own_valkey")
        return Case("live", valkey, redis_url=valkey.url)
    heartbeats = request.getfixturevalue("redis_url")
    if request.param == "history-postgresql":
        postgres: Postgres = request.getfixturevalue("own_postgres")
        return Case("history", postgres, redis_url=heartbeats, postgres_url=postgres.url)
    influx: Influx = request.getfixturevalue("own_influx")
    return Case(
        "history", influx, redis_url=heartbeats, influx_url=influx.url, influx_token=influx.token,
        influx_org=influx.org, influx_bucket=influx.bucket,
    )  # fmt: skip


@pytest.fixture
async def sink(case: Case, broker: Kafka, tmp_path: Path) -> AsyncIterator[WorkerProcess]:
    """Not started."""
    process = WorkerProcess(case.app, broker.address, tmp_path / "sink.log", stall_s=2, **case.settings)
    yield process
    process.close()


async def waits(sink: WorkerProcess, label: str) -> None:
    async def told() -> bool:
        return await sink.metric(f'classpulse_sink_waiting{{sink="{label}"}}') == 1

    await eventually(told, 60, f"{label} is waited for; see {sink.log}")

    async def not_ready() -> bool:
        return "batch has been under way" in await sink.reason()

    await eventually(not_ready, 30, "it says that it does not get on")
    assert json.loads((await sink.get("/readyz"))[1])["held_by"].startswith(f"{label}: ")


async def test_a_store_away_at_start_and_again_in_the_middle_costs_nothing_but_time(
    case: Case, sink: WorkerProcess, broker: Kafka
) -> None:
    label = {Valkey: "redis", Postgres: "postgresql", Influx: "influxdb"}[type(case.store)]
    first, second, third = updates(0), updates(UPDATES), updates(2 * UPDATES)
    await tell(broker.address, first)
    sink.start()
    await waits(sink, label)

    await asyncio.to_thread(case.store.start)
    await case.prepare()
    await eventually(lambda: case.holds(first), 60, "what was told while it was away is there")
    await sink.until_ready()

    case.store.kill()
    await tell(broker.address, second)
    await waits(sink, label)
    await asyncio.to_thread(case.store.start)
    await eventually(lambda: case.holds(first, second), 60, "nothing is lost over its death")
    await sink.until_ready()

    await tell(broker.address, third)
    await eventually(lambda: case.holds(first, second, third), 60, "and it goes on")
    assert sink.said().count("store away; its topic is held") == 2  # once an outage
    assert sink.said().count("store is back") == 2


@pytest.mark.parametrize("case", ["live"], indirect=True)  # what waits is the same for every store
async def test_stopped_while_its_store_is_away_it_leaves_in_time_and_commits_nothing(
    case: Case, sink: WorkerProcess, broker: Kafka
) -> None:
    told = updates(0)
    await tell(broker.address, told)
    sink.start()
    await waits(sink, {Valkey: "redis", Postgres: "postgresql", Influx: "influxdb"}[type(case.store)])
    assert await asyncio.to_thread(sink.signal, signal.SIGTERM) == 0

    await asyncio.to_thread(case.store.start)
    await case.prepare()
    sink.start()
    await eventually(lambda: case.holds(told), 60, "the next process reads it again")


async def test_a_worker_that_joins_while_the_store_is_away_takes_its_share_and_nothing_is_lost(
    own_valkey: Valkey, broker: Kafka, tmp_path: Path
) -> None:
    first, second = (
        WorkerProcess("live", broker.address, tmp_path / f"{name}.log", stall_s=2, redis_url=own_valkey.url)
        for name in ("first", "second")
    )
    told, later = updates(0), updates(UPDATES)

    async def shared() -> bool:
        held = [json.loads((await one.get("/readyz"))[1] or "{}").get("partitions") for one in (first, second)]
        return all(held) and sum(len(one[topics.METRICS]) for one in held) == PARTITIONS

    try:
        await tell(broker.address, told)
        first.start()
        await waits(first, "redis")
        second.start()
        await eventually(lambda: joins(second), 30, "the second asks to join")
        await tell(broker.address, later)
        await asyncio.to_thread(own_valkey.start)

        async def whole() -> bool:
            return await newest_in_redis(own_valkey.url) == expected(later[-7:])

        await eventually(whole, 90, f"everything is there; see {first.log} and {second.log}")
        await eventually(shared, 60, "each holds a part")
        await first.until_ready()
        await second.until_ready()
    finally:
        first.close()
        second.close()


async def joins(worker: WorkerProcess) -> bool:
    return "joining the consumer group" in await worker.reason()


@pytest.mark.parametrize("app", ["live", "history"])
async def test_bad_records_go_to_dead_letters_and_the_good_ones_between_them_are_written(
    app: str, broker: Kafka, redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    await schema.migrate(postgres_url)
    good = ScopeUpdate(scope="course:c1", points=[point(1)])
    nul = metrics.encode(good).replace(b"course:c1", b"course:\\u0000")
    bad: list[tuple[bytes | None, Reason]] = [
        (b"\xff\x00", Reason.NOT_JSON),
        (None, Reason.NOT_JSON),
        (b"{}", Reason.INVALID),
        (b'{"x":' + b"[" * 100_000, Reason.NOT_JSON),
        (b'{"scope":"course:\xff","points":[]}', Reason.NOT_JSON),
        (metrics.encode(good).replace(b"course:c1", b"nonsense"), Reason.INVALID),
        (nul, Reason.INVALID),
        (metrics.encode(good).replace(b'"n":1', b'"n":99999999999999999999'), Reason.INVALID),
        (metrics.encode(good).replace(b'"start_ms":', b'"start_ms":9999'), Reason.INVALID),
    ]
    records: list[tuple[bytes | None, bytes | None]] = []
    for number, (value, _) in enumerate(bad):
        between = ScopeUpdate(scope="course:c1", points=[point(number, minute=number)])
        records += [(b"k", value), (b"k", metrics.encode(between))]
    await send(broker.address, topics.METRICS, records, partition=0)

    sink = WorkerProcess(
        app, broker.address, tmp_path / "sink.log", redis_url=redis_url, postgres_url=postgres_url
    )  # fmt: skip
    sink.start()
    try:

        async def buried() -> bool:
            letters = [dead_letters.decode(value) for value in await read(broker.address, topics.DEAD_LETTERS)]
            letters.sort(key=lambda letter: letter.offset)
            return [(letter.value, letter.reason) for letter in letters] == bad

        await eventually(buried, 60, f"every bad record is in activity.dead-letters; see {sink.log}")

        async def written() -> bool:
            if app == "live":
                return await newest_in_redis(redis_url) == {("course:c1", len(bad) - 1)}
            return await minutes_in_postgres(postgres_url) == {("course:c1", number) for number in range(len(bad))}

        await eventually(written, 30, "the good ones are written")
    finally:
        sink.close()


@pytest.mark.parametrize("transport", ["batch", "stock"])
async def test_killed_in_the_middle_of_a_load_nothing_is_missing(
    broker: Kafka, redis_url: str, postgres_url: str, tmp_path: Path, transport: str
) -> None:
    await schema.migrate(postgres_url)
    sink = WorkerProcess(
        "history", broker.address, tmp_path / "sink.log", redis_url=redis_url, postgres_url=postgres_url,
        transport=transport,
    )  # fmt: skip
    told = updates(0, 3_000)
    try:
        for part in range(2):
            await tell(broker.address, told[part * 1_500 : part * 1_500 + 1_500])
            sink.start()

            async def some(part: int = part) -> bool:
                return len(await minutes_in_postgres(postgres_url)) > part * 1_500

            await eventually(some, 60, "it has begun")
            sink.signal(signal.SIGKILL)
        sink.start()

        async def whole() -> bool:
            return await minutes_in_postgres(postgres_url) == expected(told)

        await eventually(whole, 60, f"every point is there; see {sink.log}")
    finally:
        sink.close()


async def test_kafka_away_is_noticed_and_survived(redis_url: str, own_kafka: Kafka, tmp_path: Path) -> None:
    await make_topics(own_kafka.address)
    sink = WorkerProcess("live", own_kafka.address, tmp_path / "sink.log", redis_url=redis_url, stall_s=3)
    first, second = updates(0), updates(UPDATES)
    sink.start()
    try:
        await tell(own_kafka.address, first)
        await eventually(sink.ready, 60, "ready")
        await asyncio.to_thread(own_kafka.kill)

        async def noticed() -> bool:
            return (await sink.get("/readyz"))[0] == 503

        await eventually(noticed, 30, "not ready without Kafka")
        await asyncio.to_thread(own_kafka.start)
        await tell(own_kafka.address, second)

        async def goes_on() -> bool:
            return await newest_in_redis(redis_url) == expected(second[-7:])

        await eventually(goes_on, 90, f"it goes on when Kafka is back; see {sink.log}")
        await sink.until_ready()
    finally:
        sink.close()


async def test_its_heartbeat_lies_in_redis_while_it_lives_and_is_taken_away_when_it_leaves(
    broker: Kafka, redis_url: str, tmp_path: Path
) -> None:
    sink = WorkerProcess("live", broker.address, tmp_path / "sink.log", redis_url=redis_url)
    sink.start()
    try:
        async with redis.from_url(redis_url) as client:

            async def beats() -> list[Any]:
                keys = [key async for key in client.scan_iter(channels.WORKERS)]
                return [(await client.get(key) or b"") for key in keys]

            async def ready() -> bool:
                return any(b'"ready":true' in beat for beat in await beats())

            await eventually(ready, 60, "a heartbeat that says it is ready")
            (key,) = [key async for key in client.scan_iter(channels.WORKERS)]
            assert 0 < await client.ttl(key) <= channels.WORKER_TTL_S
            assert await asyncio.to_thread(sink.signal, signal.SIGTERM) == 0
            assert await beats() == []
    finally:
        sink.close()


async def test_without_kafka_it_ends_and_says_why(redis_url: str, tmp_path: Path) -> None:
    address = f"127.0.0.1:{ports.free()}"
    sink = WorkerProcess("live", address, tmp_path / "sink.log", redis_url=redis_url)
    sink.start()
    try:
        assert await sink.end() != 0  # whoever started it starts it again
        assert address in sink.said()
    finally:
        sink.close()
