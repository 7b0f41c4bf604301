"""What became of one event, on a real broker: by the command and by the admin's route. The tests are door and fold."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import served
import typer
from aiokafka import AIOKafkaProducer
from doors import make_topics, problem
from letters import Post, an_event
from running import PATIENCE, eventually
from typer.testing import CliRunner

from cli.trace import trace as command
from gateway import schema
from gateway.admin import handling
from gateway.admin.fates import Fate, Outcome
from gateway.admin.letters import Letters
from gateway.admin.reading import CHUNK, NotAllReadError
from gateway.admin.tracing import Question, Trace, trace
from gateway.database import connected
from gateway.security import keys
from gateway.security.keys import Role
from stack import ports
from stack.kafka import Kafka
from wire import audit, dead_letters, events, topics
from wire.audit import Claimed, Judged, Said, Totals
from wire.dead_letters import Action, DeadLetter, LetterId, Reason
from wire.events import ActivityEvent

URL = "/api/v1/admin/trace"

app = typer.Typer()
app.command()(command)

Place = tuple[int, int]  # partition, offset


@dataclass
class Stage:
    """A broker that all tests share, so each has events and students of its own."""

    kafka: str

    def event(self, **changes: Any) -> ActivityEvent:
        return an_event(**{"student_id": f"s-{uuid.uuid4().hex[:8]}", **changes})

    async def put(self, event: ActivityEvent, **given: Any) -> Place:
        return await self.lay(events.encode(event), event.student_id.encode(), **given)

    async def lay(self, value: bytes, key: bytes | None, **given: Any) -> Place:
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all") as producer:
            sent = await producer.send_and_wait(topics.ACTIVITY, value, key, **given)
        return sent.partition, sent.offset

    async def bury(self, event: ActivityEvent, reason: Reason = Reason.INVALID) -> tuple[LetterId, Place]:
        id_ = LetterId.parse(await Post(self.kafka).bury_event(event, reason))
        ((letter),) = await Letters(self.kafka, 10).get([id_])
        return id_, (letter.content.partition, letter.content.offset)

    async def write(self, place: Place, timestamp_ms: int) -> LetterId:
        """A letter of the record that lies there."""
        partition, offset = place
        letter = DeadLetter(
            topic=topics.ACTIVITY, partition=partition, offset=offset, timestamp_ms=timestamp_ms,
            reason=Reason.INVALID, detail="why",
        )  # fmt: skip
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all") as producer:
            sent = await producer.send_and_wait(topics.DEAD_LETTERS, dead_letters.encode(letter))
        return LetterId(topics.DEAD_LETTERS, sent.partition, sent.offset)

    async def letter_of(self, event: ActivityEvent) -> LetterId | None:
        (one,) = (await self.trace(event.event_id)).judgements
        return None if one.letter is None else one.letter.id

    async def handle(self, letter: LetterId, action: Action) -> None:
        letters = Letters(self.kafka, 10)
        chosen = await letters.get([letter])
        verdicts = await handling.judge(letters, chosen, action, force=True, now_ms=0, skew_ms=0)
        await handling.carry_out(letters, action, verdicts, by="ops", why="mended")

    async def replay(self, letter: LetterId) -> Place:
        """Where the record of the letter lies now."""
        await self.handle(letter, Action.REPLAYED)
        (found,) = [
            record
            for record in await Post(self.kafka).records(topics.ACTIVITY)
            if dict(record.headers).get(handling.ORIGIN) == str(letter).encode()
        ]
        return found.partition, found.offset

    async def say(self, *all_said: Said) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all") as producer:
            for said in all_said:
                await producer.send_and_wait(topics.AUDIT, audit.encode(said), partition=said.partition)

    async def trace(self, event_id: str, **given: Any) -> Trace:
        now_ms = int(time.time() * 1000)
        return await trace(self.kafka, Question(event_id, now_ms - 3_600_000, now_ms, **given), 20.0)


def judged(place: Place, fate: str = "") -> Judged:
    """Fold, of one offset; its totals are not looked at."""
    partition, offset = place
    runs: dict[str, Any] = {fate: [(offset, offset)]} if fate else {}
    return Judged(partition=partition, first=offset, last=offset, at_ms=1, base=0, totals=Totals(), **runs)


def late(place: Place) -> Judged:
    return judged(place, "late")


def dead(place: Place) -> Judged:
    return judged(place, "dead")


def duplicate(place: Place) -> Judged:
    return judged(place, "duplicate")


def claimed(place: Place, door: str = "door-1") -> Claimed:
    return Claimed(door=door, partition=place[0], at_ms=1_768_471_200_000, runs=[(place[1], place[1])])


def fates(found: Trace) -> list[tuple[Place, Fate]]:
    return [((one.of.partition, one.of.offset), one.fate) for one in found.judgements]


@pytest.fixture(scope="module")
def with_topics(kafka: Kafka) -> str:
    asyncio.run(make_topics(kafka.address))
    return kafka.address


@pytest.fixture
def stage(with_topics: str) -> Stage:
    return Stage(with_topics)


async def test_one_that_counts_and_one_sent_again(stage: Stage) -> None:
    event = stage.event()
    place = await stage.put(event)
    again = await stage.put(event)
    await stage.say(claimed(place), judged(place), duplicate(again))
    found = await stage.trace(event.event_id)
    assert fates(found) == [(place, Fate.FOLDED), (again, Fate.DUPLICATE)]
    first, second = found.judgements
    assert (first.of.event, first.claim, second.claim, second.claimed) == (event, claimed(place), None, False)
    assert second.first == [place[1]]
    assert (found.outcome, found.complete) == (Outcome.COUNTED, True)
    assert found.answer == f"counted once, at offset {place[1]} of partition {place[0]}"
    assert (found.read, len(found.partitions)) == (found.total, 8)


async def test_one_that_nobody_has_read_yet(stage: Stage) -> None:
    event = stage.event()
    before = await stage.put(stage.event(student_id=event.student_id))
    place = await stage.put(event)
    await stage.say(judged(before), claimed(place))
    found = await stage.trace(event.event_id)
    assert fates(found) == [(place, Fate.IN_FLIGHT)]
    assert (found.outcome, found.answer, found.complete) == (Outcome.IN_FLIGHT, "accepted, not read yet", True)


async def test_one_that_came_late(stage: Stage) -> None:
    event = stage.event()
    await stage.say(late(await stage.put(event)))
    found = await stage.trace(event.event_id)
    assert (found.outcome, found.answer) == (Outcome.NOT_COUNTED, "not counted: late")


async def test_one_that_was_dead_and_counts_when_it_is_replayed(stage: Stage) -> None:
    event = stage.event()
    letter, place = await stage.bury(event, Reason.FAILED)
    await stage.say(dead(place))
    found = await stage.trace(event.event_id)
    assert (found.outcome, found.answer) == (Outcome.NOT_COUNTED, "not counted: dead (failed)")
    (one,) = found.judgements
    assert one.letter is not None
    assert (one.letter.id, one.letter.handled) == (letter, None)

    again = await stage.replay(letter)
    assert (await stage.trace(event.event_id)).answer == "in Kafka, not read yet"
    await stage.say(judged(again))
    found = await stage.trace(event.event_id)
    assert fates(found) == [(place, Fate.DEAD), (again, Fate.FOLDED)]
    assert found.answer == f"counted once, at offset {again[1]} of partition {again[0]}"
    first, second = found.judgements
    assert (first.of.origin, second.of.origin) == ("", str(letter))
    assert first.letter is not None
    assert first.letter.handled is not None
    assert first.letter.handled.why == "mended"


async def test_a_letter_is_its_own_only_where_it_names_its_time_and_of_two_the_handled_one(stage: Stage) -> None:
    event = stage.event()
    place = await stage.put(event)
    await stage.say(dead(place))
    found = await stage.trace(event.event_id)
    assert (found.answer, found.judgements[0].letter) == ("not counted: dead", None)
    written_ms = found.judgements[0].of.written_ms
    await stage.write(place, written_ms - 1)  # of an offset in a topic that was made anew
    assert await stage.letter_of(event) is None

    first, second = [await stage.write(place, written_ms) for _ in range(2)]  # by a worker that was killed
    assert await stage.letter_of(event) == first
    await stage.handle(second, Action.DROPPED)
    assert await stage.letter_of(event) == second


async def test_what_is_no_event_is_found_by_the_id_in_its_bytes(stage: Stage) -> None:
    id_, student = str(uuid.uuid4()), f"s-{uuid.uuid4().hex}"
    places = [
        await stage.lay(b'{"event_id": "%b", "kind": "dance"}' % id_.encode(), student.encode()),
        await stage.lay(b"\xffevent_id=%b&\xff" % id_.encode(), student.encode()),
    ]
    await stage.say(*map(dead, places))
    found = await stage.trace(id_)
    assert fates(found) == [(place, Fate.DEAD) for place in places]
    assert ["Invalid enum value" in one.of.problem for one in found.judgements] == [True, False]
    assert all(one.of.event is None for one in found.judgements)


async def test_where_the_audit_does_not_reach_back_nothing_is_guessed(stage: Stage) -> None:
    event = stage.event()
    place = await stage.put(event)
    await stage.say(judged(await stage.put(stage.event(student_id=event.student_id))))
    found = await stage.trace(event.event_id)
    assert fates(found) == [(place, Fate.UNKNOWN)]
    assert (found.outcome, found.answer) == (Outcome.UNKNOWN, "not known: the audit does not reach back to it")


async def test_of_one_student_only_his_partition_is_searched(stage: Stage) -> None:
    one = stage.event()
    other = stage.event(event_id=one.event_id)
    places = [await stage.put(one), await stage.put(other)]
    await stage.say(*map(judged, places))
    assert (await stage.trace(one.event_id)).answer.startswith("counted once for each of 2 students")
    found = await stage.trace(one.event_id, student=other.student_id)
    assert (fates(found), found.partitions) == ([(places[1], Fate.FOLDED)], [places[1][0]])


async def test_a_record_is_judged_also_where_its_time_is_as_far_ahead_as_kafka_lets_it(stage: Stage) -> None:
    event = stage.event()
    place = await stage.put(event, timestamp_ms=int(time.time() * 1000) + 3_590_000)
    await stage.say(judged(place))
    assert fates(await stage.trace(event.event_id)) == [(place, Fate.FOLDED)]


async def test_time_that_is_up_is_said_with_what_was_found(stage: Stage) -> None:
    event = stage.event()
    place = await stage.put(event)
    await stage.say(judged(place))
    async with AIOKafkaProducer(bootstrap_servers=stage.kafka) as producer:
        rest = [
            await producer.send(topics.ACTIVITY, b"-", event.student_id.encode(), partition=place[0])
            for _ in range(2 * CHUNK)
        ]
        await asyncio.gather(*rest)

    async def ask(question: Question, pause_s: float) -> Trace:
        """Of 2 s 1.2 are for the search, and up to 1.6 for search and audit; each chunk takes as long as the pause."""

        def slowly(read: int, _total: int) -> None:
            time.sleep(pause_s * PATIENCE if read else 0)

        return await trace(stage.kafka, question, 2.0 * PATIENCE, slowly)

    now_ms = int(time.time() * 1000)
    wanted = Question(event.event_id, now_ms - 60_000, now_ms, event.student_id)
    found = await ask(wanted, 1.7)
    assert 0 < found.read < found.total
    assert (found.complete, fates(found)) == (False, [(place, Fate.UNKNOWN)])
    assert found.answer == "not known: time was up before all of the audit was read"
    assert found.judgements[0].claimed is None
    found = await ask(wanted, 1.3)  # the search is not done, the audit may be
    assert 0 < found.read < found.total
    assert not found.complete
    with pytest.raises(NotAllReadError, match=r"not among the first [\d,]+ of [\d,]+ records of 8 partitions"):
        await ask(Question("nobody's", now_ms - 60_000, now_ms), 1.3)


async def asked(stage: Stage, *arguments: str, code: int = 0) -> str:
    """What the command says, on both streams."""
    result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--kafka", stage.kafka])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


async def test_the_command_tells_all_of_an_event_without_harm_to_the_terminal(stage: Stage) -> None:
    event = stage.event(team_id="t1", score=0.5, occurred_at_ms=1_768_471_200_123, received_at_ms=1_768_471_200_373)
    place = await stage.put(event)
    await stage.say(claimed(place, "door-\x1b[31m"), judged(place))
    said = await asked(stage, event.event_id)
    for part in (
        f"counted once, at offset {place[1]} of partition {place[0]}",
        f"code_run of {event.student_id} in course py101, team t1, score 0.5; source lms",
        "happened 2026-01-15 10:00:00.123Z",
        "received 2026-01-15 10:00:00.373Z, 0.250 s after it happened",
        "acknowledged by the door door-\\x1b[31m, which said so at 2026-01-15 10:00:00.000Z",
        "fate folded: it counts",
        f"scopes student:{event.student_id}, team:py101/t1, course:py101, school:all",
        "minute from 2026-01-15T10:00:00Z student, team, course, school: events_per_minute",
        "5 minutes from 2026-01-15T09:56:00Z to 2026-01-15T10:00:00Z, each minute",
        "team: events_by_kind, ",
        "records of all partitions of activity, written since",
    ):
        assert part in said
    assert "\x1b" not in said
    told = json.loads(await asked(stage, event.event_id, "--json", "--student", event.student_id, "--since", "5m"))
    assert (told["outcome"], told["records"][0]["fate"], told["searched"]["partitions"]) == (
        "counted", "folded", [place[0]],
    )  # fmt: skip


async def test_the_command_tells_what_does_not_count_and_why(stage: Stage) -> None:
    event = stage.event()
    letter, place = await stage.bury(event)
    again = await stage.replay(letter)
    twice = await stage.put(event)
    await stage.say(dead(place), late(again), duplicate(twice))
    said = await asked(stage, event.event_id)
    for part in (
        "a duplicate of one that lies before what was searched",
        f"dead, invalid: why (letter {letter}; replayed by ops at ",
        f"replayed from {letter} accepted by no door",
        "fate late: it is kept in activity.late, and counts in no window",
        "accepted unclaimed: no door has said",
    ):
        assert part in said
    assert "windows" not in said
    id_ = str(uuid.uuid4())
    await stage.lay(b"\x1b[2J %b" % id_.encode(), None, partition=0)
    said = await asked(stage, id_)
    assert f"bytes \\x1b[2J {id_}" in said
    assert "fate not read yet" in said


async def test_what_is_not_there_says_what_was_searched(stage: Stage) -> None:
    event = stage.event()
    await stage.put(event)
    said = await asked(stage, "no-such-event", code=1)
    assert "'no-such-event' is in none of the " in said
    assert "records of 8 partitions of activity written from 20" in said
    assert "an earlier `since` looks further back" in said
    wrong = await asked(stage, event.event_id, "--student", "somebody-else", code=1)
    assert "without `student` all partitions are searched" in wrong


@pytest.mark.parametrize("arguments", [(), ("",), ("e1", "--since", "yesterday"), ("e1", "--student", "")])
def test_what_makes_no_sense_is_a_wrong_option(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--kafka", "127.0.0.1:1"])
    assert result.exit_code == 2, result.output


def test_without_kafka_the_command_says_so() -> None:
    nowhere = f"127.0.0.1:{ports.free()}"
    away = CliRunner().invoke(app, ["e1", "--kafka", nowhere])
    assert (away.exit_code, f"Kafka at {nowhere}: not reached" in away.output) == (3, True)


@dataclass
class Desk:
    client: httpx.AsyncClient
    admin: dict[str, str]  # headers
    producer: dict[str, str]

    async def get(self, event_id: str, **query: str) -> dict[str, Any]:
        answer = await self.client.get(f"{URL}/{event_id}", params=query, headers=self.admin)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
async def desk(stage: Stage, postgres_url: str) -> AsyncIterator[Desk]:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        admin = await keys.create(database, "ops", role=Role.ADMIN)
        producer = await keys.create(database, "lms")
    async with served.gateway(served.settings(kafka=stage.kafka, postgres_url=postgres_url)) as client:
        headers = ({"Authorization": f"Bearer {key}"} for key in (admin, producer))
        yield Desk(client, *headers)


async def test_only_an_admins_key_opens_the_route(desk: Desk) -> None:
    assert "an API key is needed" in problem(await desk.client.get(f"{URL}/e1"), 401)["detail"]
    strange = await desk.client.get(f"{URL}/e1", headers={"Authorization": "Bearer cp_unknown"})
    assert "not known" in problem(strange, 401)["detail"]
    refused = await desk.client.get(f"{URL}/e1", headers=desk.producer)
    assert "the key 'lms' has the role producer; this takes admin" in problem(refused, 403)["detail"]


async def test_the_route_tells_of_an_event_that_came_through_the_door(desk: Desk, stage: Stage) -> None:
    student, happened = f"s-{uuid.uuid4().hex[:8]}", datetime.now(UTC).isoformat()
    event = {"student_id": student, "course_id": "py101", "kind": "code_run", "occurred_at": happened}

    async def accepted() -> str:
        answer = await desk.client.post("/api/v1/events", json=event, headers=desk.producer)
        return str(answer.json()["results"][0]["event_id"]) if answer.status_code == 202 else ""

    event_id = await eventually(accepted, 30, "the door is open")
    told = await desk.get(event_id)
    assert (told["outcome"], told["complete"], told["more"]) == ("in_flight", True, 0)
    (record,) = told["records"]
    place = record["partition"], record["offset"]
    await stage.say(judged(place))

    async def claimed_by_its_door() -> Any:
        told = await desk.get(event_id, student=student)
        return told if told["records"][0]["claimed"] else None

    told = await eventually(claimed_by_its_door, 30, "the door has claimed it")
    assert told["answer"] == f"counted once, at offset {place[1]} of partition {place[0]}"
    (record,) = told["records"]
    assert (bool(record["door"]), record["fate"], record["key"]) == (True, "folded", student)
    assert (record["event"]["source"], record["letter"], record["duplicate_of"]) == ("lms", None, [])
    assert [span["window_s"] for span in record["windows"]] == [60, 300, 3_600, 86_400]
    assert record["windows"][0]["metrics"]["course:py101"] == ["events_per_minute"]
    assert told["searched"]["partitions"] == [place[0]]


async def test_an_id_may_hold_slashes_and_one_that_is_not_there_is_404(desk: Desk, stage: Stage) -> None:
    event = stage.event(event_id=f"http://lms.example/e/{uuid.uuid4()}")
    await stage.say(late(await stage.put(event)))
    told = await desk.get(event.event_id)
    assert (told["answer"], told["records"][0]["windows"]) == ("not counted: late", None)
    missing = await desk.client.get(f"{URL}/nobody's", headers=desk.admin)
    assert "is in none of the" in problem(missing, 404)["detail"]
    later = await desk.client.get(
        f"{URL}/{event.event_id}", params={"since": "2100-01-01T00:00:00Z"}, headers=desk.admin
    )
    problem(later, 404)
    for bad in (f"{URL}/", f"{URL}/e1?since=yesterday", f"{URL}/{'x' * 1_001}"):
        problem(await desk.client.get(bad, headers=desk.admin), 400)


async def test_without_kafka_the_route_is_503(postgres_url: str) -> None:
    await schema.migrate(postgres_url)
    async with connected(postgres_url, 10) as database:
        key = await keys.create(database, "ops", role=Role.ADMIN)
    async with served.gateway(served.settings(postgres_url=postgres_url)) as client:
        answer = await client.get(f"{URL}/e1", headers={"Authorization": f"Bearer {key}"})
        assert "not reached" in problem(answer, 503)["detail"]
        assert answer.headers["Retry-After"]
