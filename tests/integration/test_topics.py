"""`classpulse topics` against a real broker: what it plans, applies, refuses, and that a second run finds nothing."""

import asyncio
import socket
import sys
import uuid
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner, Result

from cli.topics import app
from stack.kafka import Kafka
from wire.topics import APPLIED, PATH

FILE = """
topics:
  {applied}:
    about: what was applied
    key: topic
    partitions: 1
    cleanup: compact
    writers: []
    readers: []
  {name}:
    about: made for a test
    key: student_id
    partitions: 2
    cleanup: delete
    retention: 1h
    writers: []
    readers: []
"""


class Wanted:
    """A topics file with one topic of a name of its own, beside APPLIED."""

    def __init__(self, folder: Path, kafka: str) -> None:
        self.name = f"test-{uuid.uuid4().hex[:12]}"
        self.kafka = kafka
        self.path = folder / "wanted.yaml"
        self.path.write_text(FILE.format(applied=APPLIED, name=self.name))

    def change(self, old: str, new: str) -> None:
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new))

    def run(self, command: str) -> Result:
        return CliRunner().invoke(app, [command, "--kafka", self.kafka, "--file", str(self.path)])


@pytest.fixture
def wanted(kafka: Kafka, tmp_path: Path) -> Wanted:
    return Wanted(tmp_path, kafka.address)


@pytest.fixture
async def admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await admin.start()
    yield admin
    await admin.close()


def test_check_fails_until_apply_has_run_and_a_second_apply_finds_nothing(wanted: Wanted) -> None:
    before = wanted.run("check")
    assert (before.exit_code, f"+ {wanted.name}" in before.output) == (1, True)
    assert wanted.run("plan").exit_code == 0
    assert wanted.run("check").exit_code == 1  # neither plan nor check does anything

    applied = wanted.run("apply")
    assert applied.exit_code == 0, applied.output
    assert "Read again: all 2 topics" in applied.output

    assert wanted.run("check").exit_code == 0
    again = wanted.run("apply")
    assert (again.exit_code, "No differences" in again.output) == (0, True)


def test_partitions_are_added_and_settings_changed(wanted: Wanted) -> None:
    assert wanted.run("apply").exit_code == 0
    wanted.change("partitions: 2", "partitions: 3")
    wanted.change("retention: 1h", "retention: 2h")

    plan = wanted.run("plan")
    assert "partitions: 2 → 3" in plan.output
    assert "retention.ms 3600000 → 7200000" in plan.output
    assert wanted.run("apply").exit_code == 0
    assert wanted.run("check").exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("partitions: 2", "partitions: 1", "partitions would shrink from 2 to 1"),
        ("key: student_id", "key: course_id", "key would change from 'student_id' to 'course_id'"),
    ],
)
def test_what_would_break_a_topic_is_refused_with_the_reason(wanted: Wanted, old: str, new: str, reason: str) -> None:
    assert wanted.run("apply").exit_code == 0
    wanted.change(old, new)
    wanted.change("retention: 1h", "retention: 3h")  # would be possible, but with a refusal nothing is done

    refused = wanted.run("apply")
    assert refused.exit_code == 2
    assert f"{wanted.name}: {reason}" in refused.stderr
    assert wanted.run("check").exit_code == 1

    wanted.change(new, old)
    assert "retention.ms 3600000 → 10800000" in wanted.run("plan").output


async def test_a_topic_made_by_others_is_recorded_and_keeps_its_other_settings(
    wanted: Wanted, admin: AIOKafkaAdminClient
) -> None:
    await admin.create_topics([NewTopic(wanted.name, 2, 1, topic_configs={"max.message.bytes": "2000000"})])
    plan = await asyncio.to_thread(wanted.run, "plan")
    assert f"~ {wanted.name}" in plan.output
    assert f"= {wanted.name}" in plan.output

    applied = await asyncio.to_thread(wanted.run, "apply")
    assert applied.exit_code == 0, applied.output
    resource = ConfigResource(ConfigResourceType.TOPIC, wanted.name, {"max.message.bytes": None, "retention.ms": None})
    (response,) = await admin.describe_configs([resource])
    values = {entry[0]: entry[1] for entry in response.resources[0][4]}
    assert values == {"max.message.bytes": "2000000", "retention.ms": "3600000"}


async def test_a_topic_grown_by_others_is_not_shrunk(wanted: Wanted, admin: AIOKafkaAdminClient) -> None:
    assert (await asyncio.to_thread(wanted.run, "apply")).exit_code == 0
    await admin.create_partitions({wanted.name: NewPartitions(4)})
    refused = await asyncio.to_thread(wanted.run, "apply")
    assert (refused.exit_code, "shrink from 4 to 2" in refused.stderr) == (2, True)


async def test_applies_side_by_side_all_end_as_wanted(wanted: Wanted) -> None:
    command = [sys.executable, "-m", "cli.main", "topics", "apply", "--kafka", wanted.kafka, "--file", str(wanted.path)]
    children = [
        await asyncio.create_subprocess_exec(*command, cwd=PATH.parent, stdout=PIPE, stderr=STDOUT) for _ in range(3)
    ]
    for output, _ in await asyncio.gather(*(child.communicate() for child in children)):
        assert b"Read again" in output or b"No differences" in output, output
    assert [child.returncode for child in children] == [0, 0, 0]


def test_our_own_topics_apply(own_kafka: Kafka) -> None:
    for command in ("apply", "check"):
        result = CliRunner().invoke(app, [command, "--kafka", own_kafka.address, "--file", str(PATH)])
        assert result.exit_code == 0, result.output


def test_a_broker_that_is_away_is_told_after_the_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    result = CliRunner().invoke(app, ["check", "--kafka", address, "--wait", "0.5"])
    assert result.exit_code == 3
    assert f"no Kafka broker answers at {address} (waited 0.5 s)" in result.stderr


def test_a_listener_that_never_answers_is_not_waited_for_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        result = CliRunner().invoke(app, ["check", "--kafka", address, "--wait", "0.5"])
    assert (result.exit_code, address in result.stderr) == (3, True)


@pytest.mark.parametrize("address", ["localhost", "localhost:", ":9092", "a:b", "a:70000", "a:1,"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    result = CliRunner().invoke(app, ["check", "--kafka", address])
    assert (result.exit_code, "Invalid value for '--kafka'" in result.stderr) == (2, True)
