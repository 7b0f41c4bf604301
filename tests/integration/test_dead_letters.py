"""`classpulse dead-letters` on a real broker: what could not be used is looked at, replayed once, dropped."""

import asyncio
import json
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError
from letters import Post, an_event, empty_topics
from running import eventually
from typer.testing import CliRunner, Result

from cli.dead_letters import app
from gateway.database import Database
from stack import ports
from stack.kafka import Kafka
from wire import dead_letters, events, topics
from wire.dead_letters import Action, Reason

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def audit_log(database: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    """In which the commands write, of this test alone."""
    monkeypatch.setenv("CLASSPULSE_POSTGRES_URL", postgres_url)
    return database


@pytest.fixture
async def post(module_kafka: Kafka) -> Post:
    await empty_topics(module_kafka.address)
    return Post(module_kafka.address)


@pytest.fixture
def run(post: Post) -> Run:
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--kafka", post.kafka])


async def asked(run: Run, *arguments: str, code: int = 0) -> str:
    """What it says, on both streams."""
    result = await asyncio.to_thread(run, *arguments)
    assert result.exit_code == code, result.output
    return result.output


async def listed(run: Run, *arguments: str) -> list[str]:
    """The ids, as `list` has them."""
    return [json.loads(line)["id"] for line in (await asked(run, "list", "--json", *arguments)).splitlines()]


async def test_a_mended_event_goes_back_once_with_its_key_and_bytes_however_often_it_is_asked(
    post: Post, run: Run, audit_log: Database
) -> None:
    event = an_event(student_id="s7")
    value = events.encode(event)
    mine = await post.bury_event(event)
    other = await post.bury(b"\xff\x00", Reason.NOT_JSON)
    assert await listed(run) == [other, mine]
    ((home, _),) = await post.lies(value)

    dry = await asked(run, "replay", mine)
    assert f"{mine}  would be replayed" in dry
    assert "Nothing was done" in dry
    assert len(await post.lies(value)) == 1

    done = await asked(run, "replay", mine, "--yes", "--why", "the bug is mended")
    assert "1 replayed, 0 refused" in done
    assert await post.lies(value) == [(home, b"s7"), (home, b"s7")]  # the one that failed, and the one that is to count
    (*_, replayed) = [record for record in await post.records(topics.ACTIVITY) if record.value == value]
    assert replayed.headers == (("replayed-from", mine.encode()),)
    assert events.decode(replayed.value).event_id == event.event_id

    again = await asked(run, "replay", mine, "--yes", "--why", "again", code=1)
    assert "refused: replayed already" in again
    assert "the bug is mended" in again
    assert len(await post.lies(value)) == 2
    assert await listed(run) == [other]
    assert await listed(run, "--handled") == [other, mine]

    (mark,) = await post.records(topics.HANDLED)
    kept = dead_letters.decode_handled(mark.value)
    assert (mark.key.decode(), kept.action, kept.why) == (mine, Action.REPLAYED, "the bug is mended")
    rows = await audit_log.fetch("SELECT who, what, whom, result, detail FROM audit_log ORDER BY seq")
    assert [tuple(row)[1:] for row in rows] == [
        ("letters.replayed", mine, "begun", "the bug is mended"),
        ("letters.replayed", mine, "done", "1 of 1"),
    ]
    assert all(row["who"].startswith("cli:") for row in rows)


async def test_what_cannot_be_in_the_audit_log_is_not_done(
    post: Post, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = await post.bury_event(an_event())
    monkeypatch.setattr("cli.dead_letters.POSTGRES_S", 0.1)
    monkeypatch.setenv("CLASSPULSE_POSTGRES_URL", f"postgresql://127.0.0.1:{ports.free()}/none")
    said = await asked(run, "replay", letter, "--yes", "--why", "x", code=3)
    assert "the audit log, in which it is to be" in said
    assert await listed(run) == [letter]


async def test_what_would_come_back_is_refused_unless_it_is_forced(post: Post, run: Run) -> None:
    hour_ahead = an_event(occurred_at_ms=an_event().occurred_at_ms + 3_600_000)
    bad = {
        await post.bury(b"\xff\x00", Reason.NOT_JSON): "it would come back: not JSON",
        await post.bury(b'{"kind":"dance"}', Reason.INVALID): "it would come back: Invalid enum value 'dance'",
        await post.bury(None, Reason.NO_VALUE): "it would come back: it has no value",
        await post.bury(events.encode(an_event()), Reason.NO_KEY, key=None): "it would come back: it has no key",
        await post.bury(events.encode(an_event()), Reason.KEY_MISMATCH, key=b"s2"): "its key is not its student_id",
        await post.bury_event(hour_ahead, Reason.FUTURE): "s ahead",
    }
    before = len(await post.records(topics.ACTIVITY))
    said = await asked(run, "replay", "--all", "--yes", "--why", "try", code=1)
    assert "0 replayed, 6 refused" in said
    for letter, why in bad.items():
        assert f"{letter}  refused: " in said
        assert why in said
    assert len(await post.records(topics.ACTIVITY)) == before
    assert len(await listed(run)) == 6

    first = next(iter(bad))
    await asked(run, "replay", first, "--force", "--yes", "--why", "to see")
    assert len(await post.lies(b"\xff\x00")) == 2


async def test_an_event_from_the_future_goes_back_when_its_time_has_come(post: Post, run: Run) -> None:
    soon = an_event(occurred_at_ms=an_event().occurred_at_ms + 200_000)  # within the clock skew by now
    await post.bury_event(soon, Reason.FUTURE)
    assert "1 would be replayed, 0 refused" in await asked(run, "replay", "--reason", "future")
    old = an_event(occurred_at_ms=soon.occurred_at_ms - 3 * 3_600_000)
    letter = await post.bury_event(old)
    assert "kept as late, not counted" in await asked(run, "replay", letter)


async def test_letters_are_found_by_reason_source_time_and_number(post: Post, run: Run) -> None:
    ids = [await post.bury(b"x%d" % number, Reason.INVALID, key=b"s%d" % number) for number in range(5)]
    odd = await post.bury_event(an_event())
    assert await listed(run) == [odd, *reversed(ids)]
    assert await listed(run, "--reason", "failed") == [odd]
    assert await listed(run, "--source", "metrics") == []
    assert await listed(run, "--limit", "2") == [odd, ids[-1]]
    assert "4 more" in await asked(run, "list", "--limit", "2")
    assert await listed(run, "--since", "2h", "--until", "1h") == []
    assert len(await listed(run, "--since", "1h")) == 6

    # Oldest first, so that what hangs together stays in order.
    assert f"{ids[0]}  would be" in (said := await asked(run, "drop", "--reason", "invalid", "--limit", "1"))
    assert "4 more match" in said


async def test_what_is_dropped_is_not_shown_any_more_and_not_done_twice(post: Post, run: Run) -> None:
    letter = await post.bury(b"\xff", Reason.NOT_JSON)
    assert "would be dropped" in await asked(run, "drop", letter)
    assert await listed(run) == [letter]
    await asked(run, "drop", letter, "--yes", "--why", "a test of the plug-in")
    assert await listed(run) == []
    assert "dropped by" in await asked(run, "list", "--handled")
    assert "refused: dropped already" in await asked(run, "drop", letter, code=1)
    assert "a test of the plug-in" in await asked(run, "show", letter)


async def test_a_letter_is_shown_without_harm_to_the_terminal(post: Post, run: Run) -> None:
    text = await post.bury(b'{"a": "\xe7\x94\x9f\xe5\xbe\x92"}', Reason.INVALID, detail="no [bold]\x1b[31m")
    said = await asked(run, "show", text)
    assert '{"a": "生徒"}' in said
    assert "no [bold]\\x1b[31m" in said
    evil = await post.bury(b"\x1b]0;owned\x07" + bytes(5_000), Reason.NOT_JSON, key=b"\x1b[2J")
    shown = await asked(run, "show", evil)
    assert "\x1b" not in shown
    assert "1b5d303b" in shown
    assert "5,010 bytes, the first 4,096 here" in shown
    assert "\x1b" not in await asked(run, "list")
    raw = await asyncio.to_thread(run, "show", evil, "--raw")
    assert raw.stdout_bytes == b"\x1b]0;owned\x07" + bytes(5_000)
    whole = json.loads(await asked(run, "show", evil, "--json"))
    assert (whole["key"], whole["value_text"][:4], whole["source"]["topic"]) == ("\x1b[2J", "\x1b]0;", "activity")


async def test_what_is_no_letter_is_told_and_nothing_is_done(post: Post, run: Run) -> None:
    letter = await post.bury_event(an_event())
    partition = letter.split("-")[-2]
    for missing, why in {
        f"activity.dead-letters-{partition}-99": "has offsets 0 to 0",
        "activity.dead-letters-99-0": "has no partition 99",
        "activity-0-0": "letters lie in",
    }.items():
        assert why in await asked(run, "show", missing, code=1)
        assert why in await asked(run, "replay", letter, missing, "--yes", "--why", "x", code=1)
    assert len(await post.records(topics.ACTIVITY)) == 1
    assert await post.records(topics.HANDLED) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nonsense"),
        ("replay",),
        ("replay", "activity.dead-letters-0-0", "--all"),
        ("replay", "--all", "--yes"),
        ("list", "--since", "yesterday"),
        ("list", "--reason", "bored"),
        ("list", "--topic", "activity"),
    ],
)
def test_what_makes_no_sense_is_a_wrong_option(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--kafka", "127.0.0.1:1"])
    assert result.exit_code == 2, result.output


def test_without_kafka_or_its_topics_it_says_so(own_kafka: Kafka) -> None:
    nowhere = f"127.0.0.1:{ports.free()}"
    away = CliRunner().invoke(app, ["list", "--kafka", nowhere])
    assert (away.exit_code, f"Kafka at {nowhere}: not reached" in away.output) == (3, True)
    bare = CliRunner().invoke(app, ["replay", "--all", "--kafka", own_kafka.address])
    assert (bare.exit_code, "classpulse topics apply" in bare.output) == (3, True)


async def test_one_record_that_kafka_does_not_take_holds_up_no_other(post: Post, run: Run) -> None:
    value = events.encode(an_event())[:-1] + b',"x":"' + b"x" * 900_000 + b'"}'  # an unknown field is ignored
    too_large = await post.bury(value, Reason.FAILED)
    small = [await post.bury_event(an_event(student_id=f"s{number}")) for number in range(3)]
    admin = AIOKafkaAdminClient(bootstrap_servers=post.kafka)
    await admin.start()
    await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topics.ACTIVITY, {"max.message.bytes": "500000"})]
    )
    await admin.close()
    key = an_event().student_id.encode()
    async with AIOKafkaProducer(bootstrap_servers=post.kafka, max_request_size=2_000_000) as producer:

        async def refuses() -> bool:
            try:
                await producer.send_and_wait(topics.ACTIVITY, value, key)
            except MessageSizeTooLargeError:
                return True
            return False

        await eventually(refuses, 30, "Kafka goes by the new limit")
    said = await asked(run, "replay", "--all", "--yes", "--why", "x", code=1)
    assert "3 replayed, 1 refused" in said
    assert f"{too_large}  refused: Kafka does not take it" in said
    assert sorted(await listed(run, "--handled")) == sorted([too_large, *small])
    assert await listed(run) == [too_large]
