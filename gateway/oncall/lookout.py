"""Looks at all that is known every few seconds, keeps what is thought of it, and what has changed."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import structlog

from gateway import abilities, workers
from gateway.abilities import Standing
from gateway.admin import audit
from gateway.admin.audit_views import audit_view
from gateway.admin.reading import KafkaAwayError
from gateway.canary import Round
from gateway.lag.sampler import Sampler
from gateway.objectives import promises
from gateway.objectives.ledger import Ledger
from gateway.oncall import reasons
from gateway.oncall.absence import Absence
from gateway.oncall.changes import Changes
from gateway.oncall.lasting import Lasting
from gateway.oncall.reasons import Audited, Level, Reason
from gateway.probes import Finding, Probe
from gateway.security.limits import Limits
from gateway.siblings import Siblings
from wire.workers import Heartbeat

EVERY_S = 2.0
AUDIT_EVERY_S = 60.0  # balances are told a few seconds after their minute
AUDIT_SINCE_MS = 3_600_000
AUDIT_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0  # for a consumer that is being closed

log = structlog.get_logger(__name__)

Ask = Callable[[], Awaitable[Audited]]


@dataclass(frozen=True)
class Look:
    at_ms: int
    level: Level
    reasons: Sequence[Reason]  # the worst first
    works: Sequence[Standing]
    probe: Round | None
    audited: Audited | None  # None: not yet
    audit_away: str  # why it could not be looked at last; "": it could
    objectives: Sequence[promises.Standing] = ()
    stored_s: float | None = None  # epoch: the objectives have what other processes had counted then
    servers: Mapping[str, Finding] = field(default_factory=dict)
    beats: Sequence[Heartbeat] = ()


class Lookout:
    def __init__(
        self,
        servers: Sequence[Probe],
        heartbeats: Probe,
        seen: workers.Seen,
        canary: Callable[[], Round | None],
        sampler: Sampler,
        limits: Limits,
        ask_audit: Ask,
        ledger: Ledger,
        siblings: Siblings,
    ) -> None:
        """`heartbeats`: asks by `seen`. Opens nothing."""
        self.changes = Changes()
        self._servers = servers
        self._heartbeats = heartbeats
        self._seen = seen
        self._canary = canary
        self._sampler = sampler
        self._limits = limits
        self._ask_audit = ask_audit
        self._ledger = ledger
        self._siblings = siblings
        self._absence = Absence()
        self._lasting = Lasting()
        self._audited: Audited | None = None
        self._audit_away = ""
        self._newest: Look | None = None
        self._tasks: list[asyncio.Task[NoReturn]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(), name="lookout"),
            asyncio.create_task(self._audit(), name="lookout at the audit"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_S)

    async def newest(self) -> Look:
        """A few seconds old at most; the first one takes as long as health does."""
        return self._newest or await self.look()

    async def look(self) -> Look:
        *found, asked = await asyncio.gather(*(probe.finding() for probe in [*self._servers, self._heartbeats]))
        servers = dict(zip((probe.name for probe in self._servers), found, strict=True))
        beats = self._seen.beats if asked.up else []
        round_, view = self._canary(), self._sampler.view
        now_ms = int(time.time() * 1000)
        idle = self._absence.told(beats if asked.up else None, now_ms)
        why = self._absence.heard(now_ms) | {beat.app: said for beat in beats if (said := beat.reason or beat.paused)}
        away = self._lasting.told([*reasons.servers(servers), *reasons.rates(self._limits.away)], now_ms)
        wrong = reasons.worst_first(
            [
                *away,
                *reasons.groups(view.groups.values(), time.monotonic(), now_ms),
                *reasons.pipelines(idle, why),
                *reasons.gateways(self._siblings.silent, now_ms),
                *reasons.probe(round_),
                *reasons.audit(self._audited),
            ]
        )
        self.changes.note(wrong, now_ms)
        missing = abilities.missing(
            {one.about: servers[one.about] for one in away if one.about in servers},
            {app: why for app, why in workers.idle_pipelines(beats).items() if app in idle},
        )
        works = abilities.standings(missing)
        self._newest = Look(
            now_ms,
            reasons.level(wrong),
            wrong,
            works,
            round_,
            self._audited,
            self._audit_away,
            self._ledger.standings,
            self._ledger.stored_s,
            servers,
            beats,
        )
        return self._newest

    async def _run(self) -> NoReturn:
        while True:
            try:
                await self.look()
            except Exception:  # a fault of ours: who asks sees by its time that the look is old
                log.exception("the state of the system could not be looked at")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._sampler.looked()  # so that what it thinks is told at once

    async def _audit(self) -> NoReturn:
        pause_s = AUDIT_EVERY_S / 10  # soon after the start
        while True:
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 -- jitter, not a secret
            try:
                self._audited, self._audit_away = await self._ask_audit(), ""
                self._ledger.note_audit(self._audited.adds_up)
            except KafkaAwayError as error:
                self._audit_away = str(error)
            except Exception as error:
                self._audit_away = repr(error)
                log.exception("the audit could not be looked at")
            pause_s = AUDIT_EVERY_S


def audited(kafka: str) -> Ask:
    """`kafka`: bootstrap servers. What is asked raises KafkaAwayError."""

    async def ask() -> Audited:
        now_ms = int(time.time() * 1000)
        view = audit_view(await audit.find(kafka, now_ms - AUDIT_SINCE_MS, AUDIT_TIMEOUT_S))
        says = ""
        if not view.adds_up:
            events = "1 event does" if view.totals.difference == 1 else f"{view.totals.difference:,} events do"
            where = f": {view.wrong[0].says}" if view.wrong else ""
            says = f"{events} not add up in the last hour{where}"
        return Audited(now_ms, view.adds_up, says)

    return ask
