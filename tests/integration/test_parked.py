"""A store that is there and does not take something: the rest goes on, what it did not take is parked, and goes back
when the store takes it."""

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio as redis
from letters import Post
from running import eventually
from typer.testing import CliRunner
from worker_process import WorkerProcess, apply_topics, point, tell

from cli.dead_letters import app
from gateway import schema
from gateway.database import Database
from stack.kafka import Kafka
from wire import channels, dead_letters, history, metrics, topics
from wire.dead_letters import DeadLetter, Reason
from wire.metrics import ScopeUpdate


@pytest.fixture
def post(own_kafka: Kafka) -> Post:
    apply_topics(own_kafka)
    return Post(own_kafka.address)


def course(name: str, *values: int) -> ScopeUpdate:
    return ScopeUpdate(scope=f"course:{name}", points=[point(value, minute=value) for value in values])


async def parked(post: Post) -> list[tuple[str, DeadLetter]]:
    return [
        (f"{record.topic}-{record.partition}-{record.offset}", dead_letters.decode(record.value))
        for record in await post.records(topics.PARKED)
    ]


@pytest.fixture(autouse=True)
def audit_log(database: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 -- migrated
    """In which the commands write, of this test alone."""
    monkeypatch.setenv("CLASSPULSE_POSTGRES_URL", postgres_url)


def asked(post: Post, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*arguments, "--topic", topics.PARKED, "--kafka", post.kafka])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("transport", ["batch", "stock"])
async def test_a_key_of_redis_in_the_way_parks_its_scope_alone_until_it_is_mended(
    post: Post, redis_url: str, tmp_path: Path, transport: str
) -> None:
    sink = WorkerProcess("live", post.kafka, tmp_path / "sink.log", redis_url=redis_url, transport=transport)
    async with redis.from_url(redis_url) as client:

        async def shown(name: str) -> float | None:
            held = await client.hget(channels.now(f"course:{name}"), "events_per_minute")
            return None if held is None else metrics.decode_point(held).value

        await client.set(channels.now("course:bad"), "no hash")
        sink.start()
        try:
            await tell(post.kafka, [course("good", 1), course("bad", 1), course("good", 2), course("bad", 2)])

            async def both() -> bool:
                return await shown("good") == 2 and len(await parked(post)) == 2

            await eventually(both, 60, f"the good is shown, the bad is parked; see {sink.log}")
            for number, (_, letter) in enumerate(await parked(post), start=1):
                assert (letter.topic, letter.sink, letter.reason, letter.tries) == (
                    "metrics", "redis", Reason.REFUSED, 3,
                )  # fmt: skip
                assert metrics.decode(letter.value or b"") == course("bad", number)
                assert "WRONGTYPE" in letter.detail
            assert await sink.metric('classpulse_updates_parked_total{reason="refused",sink="redis"}') == 2
            await sink.until_ready()

            await client.delete(channels.now("course:bad"))
            ids = [
                json.loads(line)["id"] for line in (await asyncio.to_thread(asked, post, "list", "--json")).splitlines()
            ]
            assert ids == [id_ for id_, _ in await parked(post)][::-1]
            done = await asyncio.to_thread(asked, post, "replay", "--all", "--yes", "--why", "the key is gone")
            assert "2 replayed, 0 refused" in done

            async def back() -> bool:
                return await shown("bad") == 2

            await eventually(back, 30, "what was parked is shown")
        finally:
            sink.close()


async def test_an_old_value_is_not_sent_again_behind_a_newer_one(
    post: Post, redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    #  metrics   ──▶ m7 = 7, m8 = 8 (refused: 8 does not fit) ──▶ m7 = 70 ──▶
    #  parked        m8 = 8, later also m7 = 7
    await schema.migrate(postgres_url)
    database = await asyncpg.connect(postgres_url)
    await database.execute(f"ALTER TABLE {history.TABLE} ADD CONSTRAINT picky CHECK (value NOT IN (7, 8))")
    sink = WorkerProcess(
        "history", post.kafka, tmp_path / "sink.log", redis_url=redis_url, postgres_url=postgres_url
    )  # fmt: skip

    async def minutes() -> list[float]:
        rows = await database.fetch(f"SELECT value FROM {history.TABLE} ORDER BY start_ms")
        return [row["value"] for row in rows]

    sink.start()
    try:
        await tell(post.kafka, [course("c", 6, 7, 8, 9)])

        async def one() -> bool:
            return bool(await parked(post))

        await eventually(one, 60, f"it is parked; see {sink.log}")
        assert await minutes() == [6, 9]
        ((letter_id, letter),) = await parked(post)
        assert metrics.decode(letter.value or b"") == course("c", 7, 8)
        assert "picky" in letter.detail

        newer = point(70, minute=7, as_of_ms=point(7, minute=7).as_of_ms + 1)
        await tell(post.kafka, [ScopeUpdate(scope="course:c", points=[newer])])
        await database.execute(f"ALTER TABLE {history.TABLE} DROP CONSTRAINT picky")

        async def there() -> bool:
            return await minutes() == [6, 70, 9]

        await eventually(there, 30, "the newer value is written")
        dry = await asyncio.to_thread(asked, post, "replay", letter_id)
        assert "1 of its 2 values; newer ones of the others were told since" in dry
        await asyncio.to_thread(asked, post, "replay", letter_id, "--yes", "--why", "the table takes it now")

        async def whole() -> bool:
            return await minutes() == [6, 70, 8, 9]

        await eventually(whole, 30, "what was missing is written, and nothing else")
        again = await asyncio.to_thread(asked, post, "replay", letter_id, "--force", "--yes", "--why", "x", code=1)
        assert "newer values of all of its windows were told since" in again
    finally:
        sink.close()
        await database.close()
