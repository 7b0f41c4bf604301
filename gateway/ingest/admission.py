"""What every way in does alike: who posts is asked, each event is admitted or rejected, what is admitted is published.

A way in has its own bytes only. It reads them, as a pure function, into a verdict for each event, and has:

    key = await admission.key(request)
    await admission.spend(request, key, len(verdicts))
    results = await admission.post(key, verdicts)
"""

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from starlette.requests import Request

from gateway import problems
from gateway.correlation import Correlation
from gateway.database import DatabaseAwayError
from gateway.ingest.judge import Posted, Rejection, ms_of
from gateway.ingest.publisher import Publisher, PublisherAwayError
from gateway.ingest.recent import Recent
from gateway.ingest.results import Result, told
from gateway.roster import Roster, RosterCopy
from gateway.security.keys import ApiKey, KeyRing, Role
from gateway.security.limits import Limits
from gateway.security.roles import KeyAccess
from wire import probe
from wire.events import ActivityEvent, Kind


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """What is not published, as it was acknowledged before, or stands in the same request."""

    event: ActivityEvent
    of_this_request: bool


Admitted = ActivityEvent | Duplicate | Rejection


class Admission:
    def __init__(
        self,
        keys: KeyRing,
        limits: Limits,
        roster: RosterCopy,
        publisher: Publisher,
        skew_s: int,
        correlation: Correlation,
        clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        """`keys`, `roster` and `publisher` are started and stopped by whoever made them. `skew_s`: how far a producer's
        clock may be ahead of ours."""
        self._producers = KeyAccess(keys, limits, Role.PRODUCER)
        self._limits = limits
        self._roster = roster
        self._publisher = publisher
        self._skew_s = skew_s
        self._correlation = correlation
        self._clock_ms = clock_ms
        self._recent = Recent()

    async def key(self, request: Request) -> ApiKey:
        """Raises ProblemError: 401, 403 or 429, and 503 where events could not be admitted now."""
        try:
            key = await self._producers(request)
            _ = self._roster.roster  # before the body is read
        except DatabaseAwayError as error:
            raise problems.away(f"{error}; nothing was accepted") from None
        self._limits.refuse_full(request, key)
        self._correlation.admitted(request)
        return key

    async def spend(self, request: Request, key: ApiKey, events: int) -> None:
        """Counts what was posted against the key's rate, before any of it is published; a body that holds no events
        counts as one. Raises ProblemError 429 or 413: then nothing was accepted."""
        await self._limits.spend_events(request, key, events)

    def admit(
        self, key: ApiKey, verdicts: Sequence[Posted | Rejection], sent_at: datetime | None = None
    ) -> list[Admitted]:
        """For who has to know before anything is published whether all are good; else `post` does it. `sent_at`: when
        the producer's clock says that all of it was sent."""
        now_ms, roster, skew_s = self._clock_ms(), self._roster.roster, self._skew_s
        correction_ms = None if sent_at is None else now_ms - ms_of(sent_at)
        self._recent.roll(time.monotonic())
        seen: set[tuple[str, str]] = set()
        judged: list[Admitted] = []
        for verdict in verdicts:
            one = admitted(verdict, key, roster, now_ms, skew_s, correction_ms)
            if isinstance(one, ActivityEvent):
                ids = one.event_id, one.student_id
                if ids in seen or self._recent.knows(*ids):
                    judged.append(Duplicate(one, of_this_request=ids in seen))
                    continue
                seen.add(ids)
            judged.append(one)
        return judged

    async def post(
        self, key: ApiKey, verdicts: Sequence[Posted | Rejection], sent_at: datetime | None = None
    ) -> list[Result]:
        """What became of each, in order. Raises ProblemError 503, with `results`, where Kafka has not acknowledged."""
        judged, roster = self.admit(key, verdicts, sent_at), self._roster.roster
        await self.publish(judged)
        return [_result(index, one, roster, "accepted") for index, one in enumerate(judged)]

    async def publish(self, judged: Sequence[Admitted]) -> None:
        """What `admit` gave, as `post` does it."""
        roster = self._roster.roster
        good = [one for one in judged if isinstance(one, ActivityEvent)]
        try:
            if good:
                await self._publisher.publish(good)
        except PublisherAwayError as error:
            # Where Kafka has not acknowledged all, nobody can say which it has.
            results = [_result(index, one, roster, "retry") for index, one in enumerate(judged)]
            detail = f"{error}; send the same again, with the event ids of `results`: each counts once"
            raise problems.away(detail, results=told(results)) from None
        for event in good:
            self._recent.add(event.event_id, event.student_id)


def admitted(
    verdict: Posted | Rejection, key: ApiKey, roster: Roster, now_ms: int, skew_s: int, correction_ms: int | None = None
) -> ActivityEvent | Rejection:
    """The event as it goes to Kafka. The roster's word on the team counts more than the producer's. `correction_ms`: by
    how much his clock is behind ours."""
    if isinstance(verdict, Rejection):
        return verdict
    event_id: str = msgspec.to_builtins(verdict.event_id or uuid.uuid4())  # str() takes four times as long
    if probe.is_reserved(verdict.student_id, verdict.course_id):
        field = "course_id" if verdict.course_id == probe.COURSE else "student_id"
        return Rejection(event_id, field, "is reserved for the gateway's own probes")
    if not key.may_send(verdict.course_id):
        return Rejection(event_id, "course_id", f"the key {key.name!r} may not send events of this course")
    occurred_at_ms = verdict.occurred_at_ms + (correction_ms or 0)
    corrected = f", corrected by {correction_ms} ms for when it was sent" if correction_ms else ""
    if occurred_at_ms <= 0:
        return Rejection(event_id, "occurred_at", f"is not after 1970-01-01T00:00:00Z{corrected}")
    if occurred_at_ms - now_ms > skew_s * 1000:
        return Rejection(event_id, "occurred_at", f"is more than {skew_s} s ahead of the door's clock{corrected}")
    return ActivityEvent(
        event_id=event_id,
        student_id=verdict.student_id,
        course_id=verdict.course_id,
        kind=verdict.kind,
        occurred_at_ms=occurred_at_ms,
        received_at_ms=now_ms,
        source=key.name,
        team_id=roster.team_of(verdict.course_id, verdict.student_id) or verdict.team_id,
        task_id=verdict.task_id,
        score=verdict.score,
        success=verdict.success,
        duration_s=verdict.duration_s,
        clock_correction_ms=correction_ms,
        verb=verdict.verb if verdict.kind is Kind.OTHER else None,
    )


def _result(index: int, judged: Admitted, roster: Roster, good: Literal["accepted", "retry"]) -> Result:
    if isinstance(judged, Rejection):
        return Result(index, judged.event_id, "rejected", judged.field, judged.reason)
    if isinstance(judged, Duplicate):
        event = judged.event
        said: Literal["retry", "duplicate"] = "retry" if good == "retry" and judged.of_this_request else "duplicate"
        return Result(index, event.event_id, said, on_roster=roster.has(event.course_id, event.student_id))
    return Result(index, judged.event_id, good, on_roster=roster.has(judged.course_id, judged.student_id))
