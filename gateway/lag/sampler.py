"""Looks at our consumer groups every few seconds, and keeps what is thought of them.

Kafka away costs nothing but the looking: after a while every verdict is `unknown`, and says why.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from aiokafka.errors import KafkaError

from gateway.admin.reading import told
from gateway.ending import ended
from gateway.lag.board import Board, View
from gateway.lag.broker import AnswerError, Broker
from gateway.lag.rounds import Beats, Extent, Rounds
from gateway.lag.samples import EVERY_S
from gateway.lag.states import PATIENCE, Patience, State
from gateway.workers import PIPELINES
from wire import topics

log = logging.getLogger(__name__)  # the standard library's: on the command line it keeps to standard error

ROUND_S = 5.0  # for all that is asked in a round
LONGEST_PAUSE_S = 4.0  # between two attempts while Kafka is away: it is told soon that it is back
CHANGES_KEPT = 200


@dataclass(frozen=True)
class Change:
    """A group's verdict became another."""

    at_ms: int
    group: str
    before: State
    after: State
    says: str


def our_groups() -> dict[str, tuple[str, ...]]:
    """Each pipeline with the topics it reads by its group; changelogs are read by nobody's."""
    there = topics.load().values()
    return {
        app: tuple(topic.name for topic in there if app in topic.readers and topic.cleanup == "delete")
        for app in PIPELINES
    }


class Sampler:
    """`view` is what is thought now, `changes` what became of the groups lately, oldest first."""

    def __init__(
        self,
        servers: Sequence[str],
        beats: Beats,
        tell: Callable[[View, float | None], None],
        groups: Mapping[str, tuple[str, ...]],
        *,
        surveyed: Sequence[str] = (),
        every_s: float = EVERY_S,
        patience: Patience = PATIENCE,
    ) -> None:
        """`tell` gets each view, and when Kafka answered last, in seconds since the epoch. `surveyed`: topics that
        `extents` is to have beside those of `groups`."""
        self._servers = servers
        self._tell = tell
        self._board = Board(groups, patience)
        self._rounds = Rounds(groups, surveyed, beats)
        self._every_s = every_s
        self._broker: Broker | None = None
        self._task: asyncio.Task[NoReturn] | None = None
        self._seen_at_s: float | None = None  # since the epoch
        self.changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        self.view = self._board.look(time.monotonic())
        self._looked = asyncio.Event()

    async def looked(self) -> None:
        """Returns with the next view."""
        await self._looked.wait()

    @property
    def extents(self) -> Mapping[str, Extent]:
        """By topic; empty until Kafka has answered once."""
        return self._rounds.extents

    @property
    def away(self) -> str:
        """Why nothing could be seen in the last round; "" where it could."""
        return self._board.away

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="lag")

    async def stop(self) -> None:
        await ended(self._task)
        await self._drop()

    async def _run(self) -> NoReturn:
        pause_s = self._every_s
        while True:
            began_s = time.monotonic()
            if await self._seen():
                until_s = began_s + self._every_s
                pause_s = self._every_s
            else:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                until_s = began_s + random.uniform(pause_s / 2, pause_s)  # noqa: S311 -- jitter, not a secret
            self._look()
            while (left_s := until_s - time.monotonic()) > 0:
                await asyncio.sleep(min(left_s, self._every_s))
                if self.away:  # what is not seen any more is judged all the same
                    self._look()

    async def _seen(self) -> bool:
        try:
            async with asyncio.timeout(ROUND_S):
                if self._broker is None:
                    self._broker = Broker(self._servers)
                    self._rounds.begin()
                    await self._broker.open()
                samples = await self._rounds.samples(self._broker)
        except (KafkaError, OSError, TimeoutError, AnswerError) as error:
            await self._gone(f"no answer within {ROUND_S:g} s" if isinstance(error, TimeoutError) else told(error))
            return False
        except Exception as error:  # whatever else a client library raises must not end the looking
            if not self._board.away:
                log.exception("consumer groups: a look failed")
            await self._gone(repr(error))
            return False
        if self._board.away:
            log.info("consumer groups are watched again")
        self._board.away = ""
        self._board.missing = self._rounds.missing
        self._board.retention_s = self._rounds.retention_s
        self._board.take(samples)
        self._seen_at_s = time.time()
        return True

    async def _gone(self, said: str) -> None:
        if not self._board.away:  # once an outage
            log.warning("consumer groups cannot be watched: %s", said)
        self._board.away = f"Kafka at {','.join(self._servers)}: {said}"
        await self._drop()

    async def _drop(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.close()

    def _look(self) -> None:
        before, self.view = self.view, self._board.look(time.monotonic())
        for group, verdict in self.view.groups.items():
            was = before.groups[group].state
            if was is not verdict.state:
                say = log.info if verdict.state.fine else log.warning
                say("consumer group %s is %s: %s", group, verdict.state.words, verdict.says)
                now_ms = int(time.time() * 1000)
                self.changes.append(Change(now_ms, group, was, verdict.state, verdict.says))
        self._tell(self.view, self._seen_at_s)
        self._looked.set()
        self._looked = asyncio.Event()  # whoever comes now waits for the next one
