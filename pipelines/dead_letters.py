"""What no pipeline can use is kept whole, with the reason, and the agent goes on."""

from typing import Any

import msgspec
import structlog

from pipelines import telemetry
from wire import dead_letters
from wire.dead_letters import DeadLetter, Reason

log = structlog.get_logger(__name__)

# What msgspec raises for bytes it cannot make into what was asked for.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# A record at the broker's limit (1 MB) is a third larger in base64. topics.yaml gives the topic more room than this.
LETTER_BYTES_MAX = 1_500_000


def dead_letter(message: Any, reason: Reason, detail: str) -> DeadLetter:
    """`message` is a Faust message (topic, partition, offset, timestamp in seconds, key and value as bytes)."""
    return DeadLetter(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=int(message.timestamp * 1000),
        reason=reason,
        detail=detail,
        key=message.key,
        value=message.value,
    )


def judge(error: Exception) -> Reason:
    """JSON that is not what the topic holds, or no JSON at all."""
    return Reason.INVALID if isinstance(error, msgspec.ValidationError) else Reason.NOT_JSON


async def send(app_name: str, topic: Any, letter: DeadLetter) -> Any:
    """Puts the letter under way in `topic` (activity.dead-letters) and returns its future; await it before the ack."""
    telemetry.DEAD_LETTERS.labels(app_name, letter.reason).inc()
    log.warning(
        "dead letter",
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        reason=letter.reason,
        detail=letter.detail,
    )
    return await topic.send(key=letter.key, value=_within_bounds(letter))


def _within_bounds(letter: DeadLetter) -> bytes:
    """A letter that cannot be delivered would stop its partition for good. What is too large for one (a broker that
    allows more) is left where it lies, and the letter says so."""
    data = dead_letters.encode(letter)
    if len(data) <= LETTER_BYTES_MAX:
        return data
    detail = (
        f"{letter.detail}; its {len(letter.value or b''):,} bytes are too many for a letter and stay in {letter.topic}"
    )
    return dead_letters.encode(msgspec.structs.replace(letter, value=None, detail=detail))
