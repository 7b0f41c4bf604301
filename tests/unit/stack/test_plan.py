"""What the stack consists of, with servers of its own and with somebody else's."""

from pathlib import Path

import pytest

from stack import plan
from stack.errors import StackError
from stack.external import External
from stack.home import Home
from stack.plan import Elsewhere, Part, Plan
from stack.processes import Process
from stack.supervisor import levels

SOMEWHERE = Elsewhere(
    kafka="kafka.school:9092,kafka2.school:9092",
    redis="redis://:secret@redis.school/0",
    postgres="postgresql://me:secret@db.school/classpulse",
    influx="https://influx.school",
    influx_token="token",
    influx_org="school",
)
NO_INFLUX = {"CLASSPULSE_INFLUXD": "/nowhere/influxd"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, tmp_path / "cache")


@pytest.fixture
def some_influxd(tmp_path: Path) -> dict[str, str]:
    """An environment that names a program which runs."""
    program = tmp_path / "some-influxd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return {"CLASSPULSE_INFLUXD": str(program)}


def _kinds(planned: Plan) -> dict[str, str]:
    return {part.name: part.kind for part in planned.parts}


def _level(planned: Plan, name: str) -> int:
    return next(number for number, level in enumerate(levels(planned.parts)) if name in {part.name for part in level})


def test_everything_is_ours_by_default(home: Home, some_influxd: dict[str, str]) -> None:
    planned = plan.build(home, Elsewhere(), some_influxd, empty=False)
    assert _kinds(planned) == {
        **dict.fromkeys(("kafka", "postgres", "valkey", "influxd"), "server"),
        **dict.fromkeys(("topics", "migrate", "key", "school", "roster"), "task"),
        **dict.fromkeys(("gateway", "aggregate", "live", "history", "demo"), "process"),
    }
    assert planned.settings["CLASSPULSE_INFLUX_URL"].startswith("http://127.0.0.1:")
    assert planned.settings["CLASSPULSE_INFLUX_TOKEN"]
    assert planned.no_influx == ""


def test_what_needs_another_comes_after_it(home: Home) -> None:
    planned = plan.build(home, Elsewhere(), NO_INFLUX, empty=False)
    for earlier, later in (
        ("kafka", "topics"),
        ("postgres", "migrate"),
        ("migrate", "roster"),
        ("topics", "aggregate"),
        ("migrate", "gateway"),
        ("gateway", "demo"),
        ("roster", "demo"),
        ("history", "demo"),
    ):
        assert _level(planned, earlier) < _level(planned, later), f"{later} needs {earlier}"


def test_the_history_waits_for_where_it_is_written(home: Home, some_influxd: dict[str, str]) -> None:
    def needs(environment: dict[str, str]) -> frozenset[str]:
        planned = plan.build(home, Elsewhere(), environment, empty=True)
        return next(part.after for part in planned.parts if part.name == "history")

    assert "influxd" in needs(some_influxd)
    assert "influxd" not in needs(NO_INFLUX)
    assert "migrate" in needs(NO_INFLUX)


def test_where_there_is_no_influxd_it_is_said_and_the_setting_is_empty(home: Home) -> None:
    planned = plan.build(home, Elsewhere(), NO_INFLUX, empty=True)
    assert "/nowhere/influxd" in planned.no_influx
    assert planned.settings["CLASSPULSE_INFLUX_URL"] == ""
    assert "influxd" not in _kinds(planned)


def test_empty_leaves_out_the_classroom_but_not_the_key(home: Home) -> None:
    names = _kinds(plan.build(home, Elsewhere(), NO_INFLUX, empty=True))
    assert not {"demo", "school", "roster"} & set(names)
    assert "key" in names


def test_somebody_elses_servers_are_used_and_not_started(home: Home) -> None:
    planned = plan.build(home, SOMEWHERE, NO_INFLUX, empty=True)
    kinds = _kinds(planned)
    assert {name for name, kind in kinds.items() if kind == "external"} == {"kafka", "postgres", "valkey", "influxd"}
    assert "server" not in kinds.values()
    assert planned.settings["CLASSPULSE_KAFKA"] == SOMEWHERE.kafka
    assert planned.settings["CLASSPULSE_REDIS_URL"] == SOMEWHERE.redis
    assert planned.settings["CLASSPULSE_POSTGRES_URL"] == SOMEWHERE.postgres
    assert planned.settings["CLASSPULSE_INFLUX_URL"] == SOMEWHERE.influx
    assert planned.settings["CLASSPULSE_INFLUX_ORG"] == "school"


def test_a_shown_address_holds_no_password(home: Home) -> None:
    planned = plan.build(home, SOMEWHERE, NO_INFLUX, empty=True)
    shown = {part.name: part.service.address for part in planned.parts if isinstance(part.service, External)}
    assert shown == {
        "kafka": "kafka.school:9092,kafka2.school:9092",
        "postgres": "db.school:5432",
        "valkey": "redis.school:6379",
        "influxd": "influx.school:443",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        Elsewhere(kafka="kafka.school"),
        Elsewhere(kafka="kafka.school:port"),
        Elsewhere(redis="redis.school:6379"),
        Elsewhere(postgres="mysql://db.school/classpulse"),
        Elsewhere(influx="influx.school:8086", influx_token="token"),
        Elsewhere(influx="http://influx.school:8086"),
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_started(home: Home, wrong: Elsewhere) -> None:
    with pytest.raises(StackError):
        plan.build(home, wrong, NO_INFLUX, empty=True)


def test_an_address_refused_is_not_repeated_with_its_password(home: Home) -> None:
    with pytest.raises(StackError) as refused:
        plan.build(home, Elsewhere(postgres="mysql://me:secret@db.school/x"), NO_INFLUX, empty=True)
    assert "secret" not in str(refused.value)


def test_every_process_knows_its_port_and_the_settings(home: Home) -> None:
    planned = plan.build(home, SOMEWHERE, NO_INFLUX, empty=True)
    processes = [part.service for part in planned.parts if isinstance(part.service, Process)]
    assert len({process.port for process in processes}) == len(processes) == 4
    for process in processes:
        own = "CLASSPULSE_GATEWAY_PORT" if process.name == "gateway" else "CLASSPULSE_WORKER_PORT"
        assert process.environment()[own] == str(process.port)
        assert process.environment()["CLASSPULSE_POSTGRES_URL"] == SOMEWHERE.postgres


def test_parts_that_wait_for_each_other_are_refused() -> None:
    one, two = (External(name, "", lambda: True) for name in ("one", "two"))
    with pytest.raises(StackError, match="what never comes"):
        levels([Part(one, frozenset({"two"})), Part(two, frozenset({"one"}))])


def test_an_external_server_that_does_not_answer_is_named_with_what_to_do() -> None:
    away = External("valkey", "redis.school:6379", lambda: False)
    with pytest.raises(StackError, match=r"valkey does not answer at redis\.school:6379") as failure:
        away.start(timeout_s=0)
    assert failure.value.advice
