"""Random trouble for the workers of the counting app and for their broker, and a comparison after each."""

import asyncio
import contextlib
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from counting import SESSION_S, Counting
from counting_truth import Truth, Verdict
from running import eventually

from stack.kafka import Kafka

POINTS = ("published", "sent", "offsets", "committed")
WORKERS_MAX = 3
LOAD_PER_S = 3_000


@dataclass
class Tally:
    troubles: Counter[str] = field(default_factory=Counter)
    kills: int = 0  # by SIGKILL, of workers
    checks: int = 0
    compared: int = 0  # windows, in all checks
    verdict: Verdict = field(default_factory=Verdict)  # the last one: of every window since the beginning
    left: list[str] = field(default_factory=list)  # of workers that ended by themselves: exit code, reason

    @property
    def exact(self) -> bool:
        return self.verdict.over == self.verdict.under == 0


class Trouble:
    """`kafka`: the broker to kill; None where it is not to be. The choices come from the seed, the moments do not."""

    def __init__(self, app: Counting, seed: int, kafka: Kafka | None = None) -> None:
        self.tally = Tally()
        self._app = app
        self._random = random.Random(seed)
        self._kafka = kafka
        self._workers: list[subprocess.Popen[bytes]] = []
        kinds: Sequence[tuple[Callable[[], Awaitable[str]], int]] = [
            (self._kill, 6),
            (self._kill_in_a_flush, 7),
            (self._kill_all, 2),
            (self._stop, 3),
            (self._join, 3),
            (self._sleep, 3),
        ]
        if kafka is not None:
            kinds = [*kinds, (self._kill_the_broker, 1), (self._kill_the_broker_and_a_worker, 1)]
        self._kinds = [kind for kind, _ in kinds]
        self._weights = [weight for _, weight in kinds]

    async def round(self, truth: Truth | None = None) -> str:
        """One trouble under load, a moment before and after it; then the app catches up and is compared, if there is
        something to compare with. What it was."""
        async with self._app.load(LOAD_PER_S):
            self._staff()
            await asyncio.sleep(self._random.random())
            what = await self._random.choices(self._kinds, self._weights)[0]()
            await asyncio.sleep(self._random.random() / 2)
            self._staff()
        self.tally.troubles[what.partition(":")[0]] += 1
        await self._app.drained(90)
        if truth is not None:
            self.tally.verdict = await truth.verdict()
            self.tally.checks += 1
            self.tally.compared += self.tally.verdict.windows
        return what

    def _staff(self) -> None:
        """At least one worker."""
        for worker in [worker for worker in self._workers if worker.poll() is not None]:
            said = self._app.log(self._app.processes.index(worker)).read_text().splitlines()
            why = [line for line in said if "CRITICAL" in line or line.startswith("aiokafka.errors")] or said[-1:]
            self.tally.left.append(f"{worker.returncode}: {why[-1] if why else ''}")
            self._workers.remove(worker)
        if not self._workers:
            self._start()

    def _start(self, **environment: str) -> subprocess.Popen[bytes]:
        worker = self._app.start(unpacker=self._random.choice(["lean", "portable"]), **environment)
        self._workers.append(worker)
        return worker

    def _end(self, worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        worker.wait()
        self._workers.remove(worker)
        self.tally.kills += 1

    async def _kill(self) -> str:
        await self._at_work()
        self._end(self._random.choice(self._workers))
        return "killed at any moment"

    async def _kill_in_a_flush(self) -> str:
        """Of two workers at most: a third may be given nothing, and would not die."""
        while len(self._workers) >= 2:
            self._end(self._workers[0])
        point, times = self._random.choice(POINTS), self._random.randint(1, 6)
        worker = self._start(die=f"{point}:{times}")

        async def died() -> bool:
            return worker.poll() is not None

        await eventually(died, 60, f"it dies at {point}:{times}; see {self._app.log(len(self._app.processes) - 1)}")
        assert worker.returncode == -signal.SIGKILL, self._app.log(len(self._app.processes) - 1)
        self._workers.remove(worker)
        self.tally.kills += 1
        return f"killed in a flush: {point}"

    async def _kill_all(self) -> str:
        await self._at_work()
        for worker in list(self._workers):
            self._end(worker)
        return "all killed at once"

    async def _stop(self) -> str:
        await self._at_work()
        worker = self._random.choice(self._workers)
        worker.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(worker.wait, 40)
        assert code in (0, -signal.SIGTERM), code  # the latter before Python was up
        self._workers.remove(worker)
        return "left by SIGTERM"

    async def _join(self) -> str:
        if len(self._workers) >= WORKERS_MAX:
            return await self._kill()
        self._start()
        await self._at_work()
        return "another joined"

    async def _sleep(self) -> str:
        """Past its session, and on where it was; somebody else is there meanwhile."""
        if len(self._workers) < 2:
            self._start()
        await self._at_work()
        worker = self._random.choice(self._workers)
        worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(SESSION_S + self._random.random())
        worker.send_signal(signal.SIGCONT)
        return "slept past its session"

    async def _kill_the_broker(self) -> str:
        assert self._kafka is not None
        await asyncio.to_thread(self._kafka.kill)
        await asyncio.sleep(self._random.random())
        await asyncio.to_thread(self._kafka.start)
        return "broker killed"

    async def _kill_the_broker_and_a_worker(self) -> str:
        assert self._kafka is not None
        await self._at_work()
        await asyncio.to_thread(self._kafka.kill)
        self._end(self._random.choice(self._workers))
        await asyncio.to_thread(self._kafka.start)
        return "broker and a worker killed"

    async def _at_work(self) -> None:
        """Returns when more has been committed. Not waited for longer than a moment: trouble may come earlier."""
        before = await self._app.committed()

        async def further() -> bool:
            return await self._app.committed() > before

        with contextlib.suppress(AssertionError):
            await eventually(further, self._random.choice([0.3, 1, 6]), "")
