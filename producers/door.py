"""POST /api/v1/events as a well-behaved producer does it: in order, in batches, and again until it is settled."""

import asyncio
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
import structlog

log = structlog.get_logger(__name__)

Event = dict[str, Any]  # as the door takes it

BATCH_EVENTS = 500  # the door's limits
BATCH_BYTES = 1_000_000
TIMEOUT_S = 30.0  # the door answers within 5 s, so this is a lost connection
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 15.0
_BUSY = (408, 425, 429)  # the client errors that mean: later


class DoorClosedError(Exception):
    """The door says no to all we send, and asking again will not change it: wrong address or key."""


@dataclass
class Rejected:
    event: Event
    field: str | None
    reason: str


@dataclass
class Answer:
    accepted: int = 0  # those that were accepted before too
    rejected: list[Rejected] = field(default_factory=list)


class Door:
    """One batch is under way at a time, so what one student did arrives in the order it was sent.

    An event gets its `event_id` before it is first sent, so a batch that must be sent again counts once.
    """

    def __init__(self, url: str, api_key: str, patience_s: float | None = None) -> None:
        """`url` is the gateway's. `patience_s`: how long one batch is tried before DoorAwayError; None: for ever."""
        self._url = f"{url.rstrip('/')}/api/v1/events"
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(
            timeout=TIMEOUT_S, headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post(self, events: Sequence[Event]) -> Answer:
        """Sends all; returns when each has been accepted or rejected. Raises DoorClosedError, DoorAwayError."""
        answer = Answer()
        for batch, body in batches(events):
            await self._settle(batch, body, answer)
        return answer

    async def _settle(self, batch: list[Event], body: bytes, answer: Answer) -> None:
        pause_s = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            try:
                response = await self._http.post(self._url, content=body)
                status, said = response.status_code, response.text[:500]
            except httpx.TransportError as error:
                response, status, said = None, 0, f"{type(error).__name__}: {error}"
            if response is not None and status in (202, 422):
                _settled(batch, response, answer)
                return
            if status == 413 and len(batch) == 1:
                answer.rejected.append(Rejected(batch[0], None, "larger than the door takes"))
                return
            if 300 <= status < 500 and status not in _BUSY:
                raise DoorClosedError(f"{self._url} answers {status}: {said}")
            if self._patience_s is not None and loop.time() - started > self._patience_s:
                raise DoorAwayError(f"{self._url} has not answered for {self._patience_s:.0f} s: {said}")
            if pause_s == FIRST_PAUSE_S:
                log.info("the door is busy or away; trying again", status=status, said=said)
            asked_s = _retry_after(response)
            await asyncio.sleep(asked_s + random.uniform(0, pause_s))  # noqa: S311 -- jitter, not a secret
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


class DoorAwayError(Exception):
    """The door did not answer for longer than we were told to wait."""


def batches(events: Sequence[Event]) -> list[tuple[list[Event], bytes]]:
    """The events, each with an id, in batches within the door's limits, and each batch's JSON."""
    out: list[tuple[list[Event], bytes]] = []
    held: list[Event] = []
    encoded: list[bytes] = []
    size = 2
    for event in events:
        one = event if event.get("event_id") else {**event, "event_id": str(uuid.uuid4())}
        text = msgspec.json.encode(one)
        if held and (len(held) == BATCH_EVENTS or size + len(text) + 1 > BATCH_BYTES):
            out.append((held, b"[" + b",".join(encoded) + b"]"))
            held, encoded, size = [], [], 2
        held.append(one)
        encoded.append(text)
        size += len(text) + 1
    if held:
        out.append((held, b"[" + b",".join(encoded) + b"]"))
    return out


class _Result(msgspec.Struct):
    index: int
    result: str
    field: str | None = None
    reason: str | None = None


class _Results(msgspec.Struct):
    results: list[_Result]


def _settled(batch: list[Event], response: httpx.Response, answer: Answer) -> None:
    """Raises DoorClosedError where the answer does not say of each event what became of it: that is not our door."""
    try:
        results = msgspec.json.decode(response.content, type=_Results).results
    except msgspec.DecodeError as error:
        raise DoorClosedError(
            f"{response.url} answers {response.status_code}, but not as the door does: {error}"
        ) from None
    if sorted(result.index for result in results) != list(range(len(batch))):
        raise DoorClosedError(f"{response.url} answers for {len(results)} events, but was sent {len(batch)}")
    for result in results:
        if result.result in ("accepted", "duplicate"):
            answer.accepted += 1
        else:
            answer.rejected.append(Rejected(batch[result.index], result.field, result.reason or "no reason given"))


def _retry_after(response: httpx.Response | None) -> float:
    """What the door asks for, in seconds; bounded, since a typo there must not stop us for a day."""
    text = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(text), 60.0) if text.isdigit() else 0.0
