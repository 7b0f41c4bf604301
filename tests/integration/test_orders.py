"""What an operator orders, of a gateway and a worker with real servers: a group is paused and resumed, a worker
drained, on either transport; and each of it is in the audit log."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.asyncio as redis
from aiokafka.admin import AIOKafkaAdminClient
from classroom import event
from doors import problem
from logging_in import School, school
from running import eventually
from typer.testing import CliRunner, Result
from worker_process import WorkerProcess, point, read, send, tell

from cli import orders as commands
from gateway.database import Database
from gateway.orders import book
from gateway.security import audit_log
from stack import ports
from wire import channels, events, metrics, topics
from wire.metrics import ScopeUpdate

ADMIN = "/api/v1/admin"
NUMBER = 20
WITHIN_S = 40


@dataclass
class Desk:
    """A worker, a gateway, and who asks it."""

    at: School
    worker: WorkerProcess
    kafka: str
    redis_url: str

    async def post(self, path: str, body: object, who: str = "sre") -> httpx.Response:
        return await _posted(self.at, f"{ADMIN}/{path}", body, who)

    async def asked(self, path: str, **query: Any) -> dict[str, Any]:
        answer = await self.at.get("sre", f"{ADMIN}/{path}", **query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def verdict(self) -> dict[str, Any]:
        return dict((await self.asked(f"consumers/{self.worker.app}/lag"))["group"])

    async def beat(self) -> dict[str, Any]:
        return dict(json.loads((await self.worker.get("/readyz"))[1]))

    async def handled(self, topic: str) -> float:
        return await self.worker.metric(f'classpulse_records_total{{app="{self.worker.app}",topic="{topic}"}}')

    async def paused(self, wanted: bool = True) -> None:
        async def obeys() -> bool:
            return bool((await self.beat())["paused"]) is wanted

        await eventually(obeys, WITHIN_S, f"paused: {wanted}; see {self.worker.log}")


async def _posted(at: School, path: str, body: object, who: str) -> httpx.Response:
    """On a busy machine PostgreSQL may take too long for an answer."""

    async def answered() -> httpx.Response | None:
        answer = await at.client.post(path, json=body, headers=at.headers[who])
        return None if answer.status_code == 503 and "PostgreSQL" in answer.text else answer

    answer = await eventually(answered, WITHIN_S, path)
    assert answer is not None
    return answer


@asynccontextmanager
async def desk(
    app: str, transport: str, kafka: str, redis_url: str, postgres_url: str, log: Path
) -> AsyncIterator[Desk]:
    worker = WorkerProcess(app, kafka, log, redis_url=redis_url, transport=transport, stall_s=3)
    worker.start()
    try:
        async with school(postgres_url, kafka=kafka, redis_url=redis_url) as at:
            await worker.until_ready()
            yield Desk(at, worker, kafka, redis_url)
    finally:
        worker.close()


async def _events(kafka: str, course: str, first: int) -> None:
    numbers = range(first, first + NUMBER)
    happened = [event(f"s{number}", number, course_id=course, event_id=f"{course}-{number}") for number in numbers]
    await send(kafka, topics.ACTIVITY, [(one.student_id.encode(), events.encode(one)) for one in happened])


async def _counted(at: Desk, course: str) -> float:
    """The newest number of the course's day that was told."""
    newest = 0.0
    for update in map(metrics.decode, await read(at.kafka, topics.METRICS)):
        for one in update.points if update.scope == f"course:{course}" else ():
            newest = one.value if one.field == "events_per_day" else newest
    return newest


async def _updates(kafka: str, course: str, first: int) -> None:
    """The value of each is how many there are with it."""
    numbers = range(first + 1, first + 1 + NUMBER)
    await tell(kafka, [ScopeUpdate(scope=f"course:{course}", points=[point(n, minute=n)]) for n in numbers])


async def _in_redis(at: Desk, course: str) -> float:
    """The newest value of the course."""
    async with redis.from_url(at.redis_url) as client:
        held = await client.hget(channels.now(f"course:{course}"), "events_per_minute")
    return metrics.decode_point(held).value if held else 0.0


CASES = {
    "aggregate": ("batch", topics.ACTIVITY, _events, _counted),
    "live": ("stock", topics.METRICS, _updates, _in_redis),
}


@pytest.mark.parametrize("app", CASES)
async def test_a_group_is_paused_and_resumed_and_its_worker_drained(
    app: str, with_topics: str, redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    transport, topic, come, arrived = CASES[app]
    course = f"c-{uuid.uuid4().hex[:8]}"
    async with desk(app, transport, with_topics, redis_url, postgres_url, tmp_path / f"{app}.log") as at:
        answer = await at.post(f"consumers/{app}/pause", {"reason": " a disk is swapped ", "for_s": 900})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["group"], told["by"], told["reason"]) == (app, "sre", "a disk is swapped")
        await at.paused()
        handled, sent = await at.handled(topic), 0

        async def named() -> dict[str, Any] | None:
            nonlocal sent
            if await at.handled(topic) == handled + sent:  # the first may be read by a fetch that was under way
                await come(with_topics, course, sent)
                sent += NUMBER
            group = await at.verdict()
            return group if group["lag"] >= NUMBER and "paused by sre since" in group["says"] else None

        group = await eventually(named, WITHIN_S, "the verdict names the pause")
        assert group is not None
        read_before = await at.handled(topic)
        assert group["verdict"] == "stalled"
        assert group["says"].count("a disk is swapped") == 1
        causes = {one["cause"] for one in (await at.asked(f"consumers/{app}/lag"))["partitions"]}
        assert causes == {"paused_by_hand"}

        async def status() -> bool:
            told = await at.asked("worker-status")
            return app in told["missing"] and "paused by sre" in str(told["workers"])

        await eventually(status, WITHIN_S, "its status says so too, and that nobody works for the pipeline")

        refused = problem(await at.post(f"consumers/{app}/pause", {"reason": "me too"}, "admin"), 409)
        assert f"{app} is paused by sre since" in refused["detail"]

        # Redis emptied: it stays paused, and the order is there again.
        async with redis.from_url(redis_url) as client:
            await client.flushdb()

            async def there() -> bool:
                return bool(await client.exists(channels.standing(app)) and await client.keys(channels.WORKERS))

            await eventually(there, WITHIN_S, "the order is told again, and the worker was heard since")
        beat = await at.beat()
        assert (beat["ready"], "paused by sre" in beat["paused"]) == (True, True)  # in stall_s, with nothing read
        assert await at.handled(topic) == read_before == handled + sent - NUMBER

        assert (await at.post(f"consumers/{app}/resume", {"reason": "it is in"})).status_code == 200
        await at.paused(False)

        async def all_of_it() -> bool:
            return await arrived(at, course) == sent

        await eventually(all_of_it, WITHIN_S, "all is read, and once")
        assert await at.handled(topic) == handled + sent

        async def fine() -> bool:
            return (await at.verdict())["verdict"] in ("ok", "idle")

        await eventually(fine, WITHIN_S, "the verdict is well again")
        assert "not paused" in problem(await at.post(f"consumers/{app}/resume", {"reason": "again"}), 409)["detail"]
        assert await arrived(at, course) == sent

        worker_id = (await at.beat())["worker_id"]
        answer = await at.post(f"workers/{worker_id}/drain", {"reason": "its machine goes"}, "admin key")
        assert answer.status_code == 202, answer.text
        assert topic in answer.json()["partitions"]
        assert await at.worker.end() == 0
        assert "drained: finishing, committing and leaving" in at.worker.said()
        assert await _left(at, topic) == 0

        async def gone() -> bool:
            return (await at.post(f"workers/{worker_id}/drain", {"reason": "again"})).status_code == 404

        await eventually(gone, WITHIN_S, "its heartbeat is gone")
        rows = await _rows(at.at.database, 6)
        assert [row[:3] for row in rows[:5]] == [
            ("sre", "consumers.pause", app),
            ("admin", "consumers.pause", app),
            ("sre", "consumers.resume", app),
            ("sre", "consumers.resume", app),
            ("key:ops", "workers.drain", worker_id),
        ]
        assert [row[4] for row in rows[:5]] == ["a disk is swapped", "me too", "it is in", "again", "its machine goes"]
        results = [row[3] for row in rows[:6]]
        assert results[0].startswith("done, until ")
        assert results[1:] == ["refused", "done", "refused", "begun", "done"]


async def _left(at: Desk, topic: str) -> int:
    """Records behind what its group has committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=at.kafka)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(at.worker.app)
    finally:
        await admin.close()
    partitions = (await at.asked(f"consumers/{at.worker.app}/lag"))["partitions"]
    ends = {one["partition"]: one["end"] for one in partitions if one["topic"] == topic and one["end"]}
    return sum(end - committed[tp].offset for tp in committed if tp.topic == topic and (end := ends.get(tp.partition)))


async def _rows(database: Database, number: int) -> list[tuple[str, ...]]:
    """Who, what, whom, result and detail, of orders; as soon as there are so many."""

    async def found() -> list[tuple[str, ...]]:
        rows = await database.fetch(
            "SELECT who, what, whom, result, detail FROM audit_log WHERE what IN ($1, $2, $3) ORDER BY seq",
            *(book.PAUSE, book.RESUME, book.DRAIN),
        )
        return [tuple(row) for row in rows] if len(rows) >= number else []

    return await eventually(found, WITHIN_S, f"{number} rows of the audit log")


async def test_what_is_asked_wrongly_is_told_and_nothing_is_ordered(redis_url: str, postgres_url: str) -> None:
    async with school(postgres_url, redis_url=redis_url) as at:
        for path, body, status, says in (
            ("consumers/nobody/pause", {"reason": "x"}, 404, "there are aggregate, history, live"),
            ("consumers/live/pause", {}, 400, "reason"),
            ("consumers/live/pause", {"reason": "  "}, 400, "reason"),
            ("consumers/live/pause", {"reason": "x" * 501}, 400, "reason"),
            ("consumers/live/pause", {"reason": "a\0b"}, 400, "reason"),
            ("consumers/live/pause", {"reason": "x", "for_s": 9}, 400, "for_s"),
            ("consumers/live/pause", {"reason": "x", "for_s": 302_401}, 400, "10 to 302400 s"),
            ("consumers/aggregate/pause", {"reason": "x", "for_s": 43_201}, 400, "10 to 43200 s"),
            ("consumers/live/pause", {"reason": "x", "fors": 60}, 400, "fors"),
            ("consumers/live/resume", {"reason": "x"}, 409, "live is not paused"),
            ("workers/live-nowhere-1/drain", {"reason": "x"}, 404, "there are: none"),
        ):
            answer = await _posted(at, f"{ADMIN}/{path}", body, "sre")
            assert says in problem(answer, status)["detail"], (path, body)
        assert await book.in_force(at.database, 0) == {}
        assert await _rows(at.database, 3) == [
            ("sre", "consumers.pause", "nobody", "refused", "x"),
            ("sre", "consumers.resume", "live", "refused", "x"),
            ("sre", "workers.drain", "live-nowhere-1", "refused", "x"),
        ]


async def test_the_commands_do_the_same_and_are_in_the_audit_log(
    database: Database, redis_url: str, postgres_url: str
) -> None:
    async def asked(app: Any, *arguments: str, code: int = 0) -> str:
        run: Callable[..., Result] = lambda: CliRunner().invoke(  # noqa: E731
            app, [*arguments, "--postgres", postgres_url, "--redis", redis_url]
        )
        result = await asyncio.to_thread(run)
        assert result.exit_code == code, result.output
        return result.output

    said = await asked(commands.consumers, "pause", "live", "--reason", "Redis moves", "--for", "30m")
    assert "live is paused by" in said
    (pause,) = (await book.in_force(database, 0)).values()
    assert (pause.group, pause.reason, pause.until_ms - pause.since_ms) == ("live", "Redis moves", 1_800_000)
    client: Any = redis.from_url(redis_url)
    async with client:
        assert b"Redis moves" in await client.get(channels.standing("live"))  # though no gateway runs
        assert "live is paused by" in await asked(commands.consumers, "pause", "live", "--reason", "again", code=1)
        assert "12 h" not in await asked(
            commands.consumers, "pause", "aggregate", "--reason", "x", "--for", "13h", code=1
        )
        assert "live goes on" in await asked(commands.consumers, "resume", "live", "--reason", "it has moved")
        assert b"Redis moves" not in await client.get(channels.standing("live"))
    assert "not paused" in await asked(commands.consumers, "resume", "live", "--reason", "again", code=1)
    assert "there are: none" in await asked(commands.drained, "drain", "live-x-1", "--reason", "x", code=1)
    await asked(commands.consumers, "pause", "live", "--reason", " ", code=2)
    await asked(commands.consumers, "pause", "lives", "--reason", "x", code=2)
    rows = await _rows(database, 2)
    assert [(who.startswith("cli:"), what, whom, detail) for who, what, whom, _, detail in rows] == [
        (True, "consumers.pause", "live", "Redis moves"),
        (True, "consumers.resume", "live", "it has moved"),
    ]
    assert (await audit_log.verify(database)).wrong == []


async def test_without_redis_a_pause_stands_and_a_drain_is_refused(postgres_url: str) -> None:
    nowhere = f"redis://127.0.0.1:{ports.free()}/0"
    async with school(postgres_url, redis_url=nowhere) as at:
        answer = await _posted(at, f"{ADMIN}/consumers/history/pause", {"reason": "x"}, "admin")
        assert answer.status_code == 200, answer.text
        assert set(await book.in_force(at.database, 0)) == {"history"}
        answer = await _posted(at, f"{ADMIN}/workers/a/drain", {"reason": "x"}, "admin")
        assert "Redis" in problem(answer, 503)["detail"]
