"""A whole stack of its own for a test: `classpulse up --empty --detach` in a folder of its own, and how to ask it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from cli.status import whole
from stack import child
from stack.home import Home
from wire import topics as topics_

T = TypeVar("T")

PROJECT = Path(__file__).parent.parent
# Downloaded and unpacked parts, shared with `classpulse up` and between sessions.
CACHE = Path(os.environ.get("CLASSPULSE_CACHE") or PROJECT / ".classpulse" / "cache").absolute()


def _patience() -> str:
    """How many times longer than usual the processor takes for a fixed piece of work, at least 1 and at most 4."""
    took_s = []
    for _ in range(3):
        began_s = time.process_time()
        sum(number for number in range(1_000_000))
        took_s.append(time.process_time() - began_s)
    return f"{min(4.0, max(1.0, min(took_s) / _USUAL_S)):.1f}"


_USUAL_S = 0.06
# One factor for slow machines: every deadline of every test is multiplied by it. Found out once, before there are other
# processes of the tests, which inherit it.
PATIENCE = float(os.environ.setdefault("CLASSPULSE_TEST_PATIENCE", _patience()))
os.environ.setdefault("PYTEST_TIMEOUT", f"{300 * PATIENCE:.0f}")

CONSUMED = {"aggregate": ("activity", "partials"), "live": ("metrics",), "history": ("metrics",)}


async def eventually(check: Callable[[], Awaitable[T]], within_s: float, what: str, every_s: float = 0.1) -> T:
    """The first truthy answer of `check`; fails with its last answer after `within_s`."""
    deadline = time.monotonic() + within_s * PATIENCE
    while not (answer := await check()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}; last answer: {answer!r}"
        await asyncio.sleep(every_s)
    return answer


@dataclass
class RunningStack:
    home: Path

    def run(self, *arguments: str, timeout_s: float = 60) -> str:
        """A classpulse command in this stack's home; its output. Fails with what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=PROJECT,
            # Without probes, unless a test wants them: then a quiet stack is one with nothing to read.
            env={
                "CLASSPULSE_PROBE_EVERY_S": "0",
                **os.environ,
                "CLASSPULSE_HOME": str(self.home),
                "CLASSPULSE_CACHE": str(CACHE),
            },
            capture_output=True,
            text=True,
            timeout=timeout_s * PATIENCE,
        )
        assert done.returncode == 0, f"classpulse {' '.join(arguments)}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    @property
    def status(self) -> dict[str, Any]:
        """As `classpulse status --json` tells it. Not by that command: it is asked ten times a second, and a process of
        its own each time would take half a core."""
        return whole(Home.of({"CLASSPULSE_HOME": str(self.home)}))

    def service(self, name: str) -> dict[str, Any]:
        return next(service for service in self.status["services"] if service["name"] == name)

    def environment(self, name: str) -> str:
        """A setting that the stack gives its processes, secrets too: the launcher's own file has them."""
        return str(json.loads((self.home / "run.json").read_text())["environment"][name])

    @property
    def dashboard(self) -> str:
        return str(self.status["dashboard"]).rstrip("/")

    @property
    def door(self) -> str:
        return f"{self.dashboard}/api/v1/events"

    @property
    def key_file(self) -> Path:
        return Path(self.status["demo_key_file"])

    @property
    def api_key(self) -> str:
        return self.key_file.read_text().strip()

    def kill(self, name: str) -> int:
        """SIGKILL to one service; its pid. The stack starts it again."""
        pid = int(self.service(name)["pid"])
        psutil.Process(pid).kill()
        return pid

    def terminate(self, name: str) -> int:
        """SIGTERM to one service; its pid. The stack starts it again."""
        pid = int(self.service(name)["pid"])
        psutil.Process(pid).terminate()
        return pid

    async def restarted(self, name: str, ended: int) -> None:
        """Returns when the stack has started another in the place of this pid."""

        async def back() -> bool:
            service = self.service(name)
            return service["pid"] not in (ended, None) and service["state"] == "ready"

        await eventually(back, 60, f"{name} is started again")

    async def restart_gateway(self) -> None:
        """Kills the gateway and waits until the stack has started another."""
        await self.restarted("gateway", self.kill("gateway"))

    def down(self) -> None:
        self.run("down")

    def left_running(self) -> list[str]:
        """The services that run, whatever the launcher says."""
        return [file.stem for file in self.home.rglob("*.pid") if child.running_pid(file) is not None]

    async def drained(self, within_s: float = 120) -> None:
        """Returns when every consumer group has committed the end of every topic it reads."""
        bootstrap = self.environment("CLASSPULSE_KAFKA")
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await consumer.start()
        await admin.start()

        read = {
            group: [TopicPartition(topic, p) for topic in topics for p in range(topics_.load()[topic].partitions)]
            for group, topics in CONSUMED.items()
        }

        async def lag() -> int:
            """Records not committed by the group that reads them."""
            total = 0
            for group, partitions in read.items():
                committed = await admin.list_consumer_group_offsets(group)
                ends = await consumer.end_offsets(partitions)
                total += sum(end - (committed[tp].offset if tp in committed else 0) for tp, end in ends.items())
            return total

        async def empty() -> bool:
            # Three times: what one group commits may be another's next record.
            for _ in range(3):
                if await lag():
                    return False
            return True

        try:
            # Seldom: asking costs the broker, and this process in asyncio's debug mode, more than reading does.
            await eventually(empty, within_s, "every group has read everything", every_s=0.5)
        finally:
            await admin.close()
            await consumer.stop()
