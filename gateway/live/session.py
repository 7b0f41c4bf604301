"""One viewer's talk: what he says, message by message, and what it does."""

import secrets
from collections.abc import Callable

from gateway import telemetry
from gateway.database import DatabaseAwayError
from gateway.live.connection import HEARTBEAT_S
from gateway.live.delivery import REASONS
from gateway.live.feed import Feed
from gateway.live.framing import text
from gateway.live.position import Place
from gateway.live.viewer import Outlet
from wire import frames
from wire.frames import (
    ONCALL,
    Ack,
    CloseCode,
    Error,
    ErrorCode,
    Frame,
    Hello,
    Limits,
    Measured,
    Ping,
    Pong,
    Subscribe,
    Unsubscribe,
)
from wire.scopes import Scope

SUBSCRIPTIONS_MAX = 64
MESSAGE_BYTES_MAX = 4_096
MESSAGES_PER_S = 20
MESSAGES_AT_ONCE = 2 * SUBSCRIPTIONS_MAX + MESSAGES_PER_S  # all subscriptions exchanged for others
ACK_WITHIN_S = 5.0  # half of what a viewer may be behind

LIMITS = Limits(
    subscriptions=SUBSCRIPTIONS_MAX,
    message_bytes=MESSAGE_BYTES_MAX,
    messages_per_s=MESSAGES_PER_S,
    ack_within_ms=round(ACK_WITHIN_S * 1_000),
)


def hello() -> bytes:
    return frames.encode(Hello(session=secrets.token_hex(8), heartbeat_ms=round(HEARTBEAT_S * 1_000), limits=LIMITS))


class Session:
    """Whoever begins one must `end` it."""

    def __init__(self, feed: Feed, outlet: Outlet, now_s: float, refusal: Callable[[Scope | None], str | None]) -> None:
        """`refusal`: why he may not see a scope, or, None, who is on call sees; may raise DatabaseAwayError."""
        self._feed = feed
        self._refusal = refusal
        self._outlet = outlet
        self._viewer = feed.join(outlet)
        self._allowed = float(MESSAGES_AT_ONCE)
        self._heard_s = now_s
        outlet.write(text(hello()))

    def end(self) -> None:
        self._feed.leave(self._viewer)

    def hear(self, message: str | bytes, now_s: float) -> tuple[CloseCode, str] | None:
        """By which code and reason that ends the connection; None: it goes on."""
        self._allowed = min(MESSAGES_AT_ONCE, self._allowed + (now_s - self._heard_s) * MESSAGES_PER_S) - 1
        self._heard_s = now_s
        if self._allowed < 0:
            return CloseCode.CHATTER, REASONS[CloseCode.CHATTER]
        try:
            said = frames.decode_message(message)
        except ValueError as error:  # msgspec's errors are such
            self._tell(Error(code=ErrorCode.BAD_MESSAGE, message=f"no message of {frames.PROTOCOL}: {error}"))
            return None
        match said:
            case Ack():
                self._feed.acknowledge(self._viewer, said.scope, said.offset)
            case Measured():
                telemetry.observe("frame", said.frame_ms)
                telemetry.observe("paint", said.paint_ms)
            case Ping():
                self._tell(Pong())
            case Subscribe():
                self._subscribe(said)
            case Unsubscribe():
                self._feed.unsubscribe(self._viewer, said.scope)
        return None

    def _subscribe(self, said: Subscribe) -> None:
        try:
            scope = None if said.scope == ONCALL else Scope.parse(said.scope)
        except ValueError as error:
            return self._tell(Error(code=ErrorCode.BAD_SCOPE, message=str(error)))
        try:
            reason = self._refusal(scope)
        except DatabaseAwayError as error:
            return self._tell(Error(code=ErrorCode.FORBIDDEN, message=str(error), retry=True))
        if reason is not None:
            return self._tell(Error(code=ErrorCode.FORBIDDEN, message=reason))
        watched = self._viewer.views
        if said.scope not in watched and len(watched) >= SUBSCRIPTIONS_MAX:
            told = f"{said.scope!r} would be one more than the {SUBSCRIPTIONS_MAX} scopes of a connection"
            return self._tell(Error(code=ErrorCode.TOO_MANY_SUBSCRIPTIONS, message=told))
        place = None if said.epoch is None or said.offset is None else Place(said.epoch, said.offset)
        metrics = None if said.metrics is None or scope is None else frozenset(said.metrics)
        return self._feed.subscribe(self._viewer, said.scope, metrics, place)

    def _tell(self, frame: Frame) -> None:
        self._outlet.write(text(frames.encode(frame)))
