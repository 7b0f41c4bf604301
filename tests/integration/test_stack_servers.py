"""Every server of the stack: starts, answers its own client, stops, keeps its data, and starts again after a crash."""

import asyncio
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack import answers, child
from stack.errors import StackError
from stack.influx import Influx
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.valkey import Valkey


@pytest.fixture
def home(servers_dir: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = servers_dir / f"own-{request.node.name}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def test_kafka_keeps_acknowledged_records_over_sigkill(own_kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=own_kafka.address)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=own_kafka.address, acks="all")
    await producer.start()
    await producer.send_and_wait("kept", b"one")
    await producer.stop()

    first = own_kafka.pid
    own_kafka.kill()
    assert not answers.kafka(own_kafka.host, own_kafka.port)
    await asyncio.to_thread(own_kafka.start)
    assert own_kafka.pid != first

    consumer = AIOKafkaConsumer(
        "kept", bootstrap_servers=own_kafka.address, auto_offset_reset="earliest", group_id="reader"
    )
    await consumer.start()
    record = await asyncio.wait_for(consumer.getone(), 20)
    await consumer.stop()
    assert record.value == b"one"


async def test_postgres_keeps_committed_rows_over_sigkill(home: Path, cache_dir: Path) -> None:
    server = Postgres(home, cache=cache_dir)
    await asyncio.to_thread(server.start)
    try:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        await connection.close()
        server.kill()
        await asyncio.to_thread(server.start)
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT n FROM kept") == 1
        await connection.close()
    finally:
        server.stop()
    assert not server.pid_file.exists()


def test_postgres_runs_in_a_home_only_its_owner_may_enter(tmp_path: Path, cache_dir: Path) -> None:
    tmp_path.chmod(0o700)
    server = Postgres(tmp_path / "postgres", cache=cache_dir, durable=False)
    server.start()
    server.create_database("kept")
    server.stop()
    again = Postgres(tmp_path / "postgres", cache=cache_dir, durable=False)
    again.start()
    try:
        with pytest.raises(StackError, match="already exists"):
            again.create_database("kept")
    finally:
        again.stop()
        note = tmp_path / "postgres" / "elsewhere"
        if note.exists():
            shutil.rmtree(note.read_text())


def test_valkey_keeps_its_data_over_sigkill(home: Path, cache_dir: Path) -> None:
    server = Valkey(home, cache=cache_dir)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "1")
        client.waitaof(1, 0, 5_000)
    server.kill()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"1"
    server.stop()
    assert not answers.redis(server.host, server.port)


def test_influxd_is_set_up_once_and_keeps_its_token(influx: Influx, home: Path, cache_dir: Path) -> None:
    server = Influx(home, program=influx.program, cache=cache_dir)
    server.start()
    token = server.token
    server.stop()
    again = Influx(home, program=influx.program, cache=cache_dir)
    again.start()
    where = f"{again.url}/api/v2/buckets?{urllib.parse.urlencode({'org': again.org, 'name': again.bucket})}"
    found = answers.http_json(where, token=token)
    again.stop()
    assert found is not None
    assert found[0] == 200
    assert [bucket["name"] for bucket in found[1]["buckets"]] == [again.bucket]


def test_a_process_left_by_another_launcher_is_ended_first(home: Path, cache_dir: Path) -> None:
    left = Valkey(home, cache=cache_dir)
    left.start()
    second = Valkey(home, left.port, cache=cache_dir)
    second.start()
    assert not left.running
    assert child.running_pid(second.pid_file) == second.pid != left.pid
    second.stop()
    left.stop()


def test_a_taken_port_is_named(home: Path, valkey: Valkey, cache_dir: Path) -> None:
    with pytest.raises(StackError, match=f"port {valkey.port} is taken"):
        Valkey(home, valkey.port, cache=cache_dir).start()


def test_a_server_that_ends_at_once_is_reported_with_its_last_lines(home: Path, cache_dir: Path) -> None:
    server = Postgres(home, cache=cache_dir)
    server.start()
    server.stop()
    postgresql_conf = next(home.rglob("postgresql.conf"))
    postgresql_conf.write_text("no_such_setting = 1\n")
    with pytest.raises(StackError, match="postgres ended with exit code 1") as failure:
        server.start()
    assert "no_such_setting" in str(failure.value)
    assert not server.running
