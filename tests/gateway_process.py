"""`python -m gateway` as a process of a test's own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import served
from running import PATIENCE, PROJECT, eventually

from stack import ports


def environment(port: int, **changes: str) -> dict[str, str]:
    away = served.settings()
    return {
        **os.environ,
        "CLASSPULSE_GATEWAY_PORT": str(port),
        "CLASSPULSE_KAFKA": away.kafka,
        "CLASSPULSE_REDIS_URL": away.redis_url,
        "CLASSPULSE_POSTGRES_URL": away.postgres_url.get_secret_value(),
        "CLASSPULSE_LOG_FORMAT": "json",
        "CLASSPULSE_PROBE_EVERY_S": "0",  # each event is what a test has posted
        **changes,
    }


async def start(port: int, **changes: str) -> Process:
    return await create_subprocess_exec(
        sys.executable, "-m", "gateway", cwd=PROJECT, env=environment(port, **changes), stderr=PIPE
    )


async def ended(process: Process) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and log lines."""
    async with asyncio.timeout(30 * PATIENCE):
        _, log = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in log.splitlines() if line.startswith(b"{")]


@asynccontextmanager
async def serving(**changes: str) -> AsyncIterator[tuple[int, Process]]:
    """The port of a gateway that serves, and its process."""
    port = ports.free()
    process = await start(port, **changes)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def alive() -> bool:
                try:
                    return (await client.get("/livez")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(alive, 30, "alive")
        yield port, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # to the end of its log, else the pipe stays open
