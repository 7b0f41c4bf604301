"""The health checks that docker-compose.yml gives our own processes, executed as they stand there against the stack."""

import asyncio
import re
import subprocess
import sys

import pytest
import yaml
from running import PROJECT, RunningStack, eventually

from stack import ports

SERVICES = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]


def _check(service: str, port: int) -> list[str]:
    how, python, *arguments = SERVICES[service]["healthcheck"]["test"]
    assert (how, python) == ("CMD", "python")
    return [sys.executable, *(re.sub(r"(127\.0\.0\.1):\d+", rf"\1:{port}", text) for text in arguments)]


async def _healthy(command: list[str]) -> bool:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=30, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("service", ["gateway", "aggregate", "live", "history"])
async def test_a_process_is_healthy_when_it_is_ready(service: str, running_stack: RunningStack) -> None:
    port = int(running_stack.service(service)["port"])
    await eventually(lambda: _healthy(_check(service, port)), 60, f"{service} is healthy")
    assert not await _healthy(_check(service, ports.free()))
