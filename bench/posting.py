"""Batches of events or statements, made once and sent again under new ids, and HTTP/1.1 connections that post them."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.harness import BenchError

EVENTS = 100  # a batch
BODIES = 32
RUN = b"5eed5eed"  # in every id, where each request puts a number of its own
WITHIN_S = 30.0
_KINDS = ("page_viewed", "video_played", "code_run", "answer_submitted", "message_posted", "task_started")


def native(students: int = 1_000) -> list[bytes]:
    """Bodies of EVENTS each, of 5 courses, as an LMS would send them."""
    rng = random.Random(7)  # noqa: S311 - a simulation
    happened = datetime.now(UTC).isoformat()
    bodies = []
    for body in range(BODIES):
        events = []
        for index in range(EVENTS):
            student = rng.randrange(students)
            events.append(
                {
                    "event_id": f"{RUN.decode()}-0000-4000-8000-{body * EVENTS + index:012x}",
                    "student_id": f"s{student:05d}",
                    "course_id": f"c{student % 5}",
                    "kind": rng.choice(_KINDS),
                    "occurred_at": happened,
                    "task_id": f"exercise-{rng.randrange(40)}",
                    "success": rng.random() < 0.7,
                }
            )
        bodies.append(json.dumps(events).encode())
    return bodies


def numbered(body: bytes, number: int) -> bytes:
    """With ids nobody has sent yet."""
    return body.replace(RUN, b"%08x" % number)


@dataclass(frozen=True)
class Target:
    port: int
    path: str
    headers: Sequence[str]
    bodies: Sequence[bytes]
    good: Sequence[int]  # statuses
    said: bytes = b""  # what a good answer holds

    def request(self, number: int) -> bytes:
        body = numbered(self.bodies[number % len(self.bodies)], number)
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *self.headers]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@dataclass
class Posted:
    """Over what time, and what of each request that was answered in it."""

    seconds: float = 0.0
    took_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Events a second."""
        return len(self.took_ms) * EVENTS / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Load:
    """Connections to one target, and how many requests they have sent."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.sent = 0

    async def flat_out(self, connections: int, warm_s: float, for_s: float) -> Posted:
        """Each connection sends when it has its answer. Raises BenchError where one is not good."""
        return await self._run(connections, warm_s, for_s, every_s=0.0)

    async def steadily(self, connections: int, warm_s: float, for_s: float, rate: float) -> Posted:
        """`rate` events a second, whether answers come or not: a request's time begins when it was due."""
        return await self._run(connections, warm_s, for_s, every_s=EVENTS / rate)

    async def _run(self, connections: int, warm_s: float, for_s: float, every_s: float) -> Posted:
        posted = Posted(for_s)
        begin = time.perf_counter()
        turns = iter(range(1 << 31))

        async def connection() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._target.port)
            try:
                while True:
                    due = begin + next(turns) * every_s if every_s else time.perf_counter()
                    if due > begin + warm_s + for_s:
                        return
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    request, self.sent = self._target.request(self.sent), self.sent + 1
                    async with asyncio.timeout(WITHIN_S):
                        writer.write(request)
                        await self._answer(reader)
                    ended = time.perf_counter()
                    if begin + warm_s <= (due if every_s else ended) <= begin + warm_s + for_s:
                        posted.took_ms.append((ended - due) * 1_000)
            finally:
                writer.close()

        await asyncio.gather(*(connection() for _ in range(connections)))
        return posted

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        _, found, after = head.lower().partition(b"content-length:")
        body = await reader.readexactly(int(after.partition(b"\r\n")[0])) if found else b""
        if int(head[9:12]) not in self._target.good or self._target.said not in body:
            raise BenchError(f"not the answer that was hoped for: {head[:200]!r} {body[:300]!r}")
