"""`classpulse demo run` against a door that does not want its events."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec

from answering import AnsweringDoor, saying
from running import PATIENCE, PROJECT


async def test_it_logs_as_the_other_processes_do() -> None:
    door = AnsweringDoor(saying(401, "this key is not known"))
    url = await door.start()
    try:
        process = await create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "demo", "run", "--url", url, "--key", "cp_unknown", "--rate", "1000"),
            cwd=PROJECT,
            env={**os.environ, "CLASSPULSE_LOG_FORMAT": "json", "CLASSPULSE_LOG_LEVEL": "INFO"},
            stdout=PIPE,
            stderr=PIPE,
        )
        async with asyncio.timeout(60 * PATIENCE):
            said, log = await process.communicate()
    finally:
        await door.stop()
    assert (process.returncode, said) == (1, b"")
    (line,) = [json.loads(text) for text in log.splitlines()]  # one: no library tells of its requests
    assert (line["level"], line["event"]) == ("error", "the door does not take our events")
    assert "this key is not known" in line["error"]
