"""What no pipeline can use is kept whole, with the reason, and the agent goes on."""

import msgspec
import structlog

from pipelines import telemetry
from pipelines.records import Record
from wire import dead_letters, topics
from wire.dead_letters import DeadLetter, Reason

log = structlog.get_logger(__name__)

# What msgspec raises for bytes it cannot make into what was asked for.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# A record at the broker's limit (1 MB) is a third larger in base64. topics.yaml gives the topic more room than this.
LETTER_BYTES_MAX = 1_500_000


def dead_letter(topic: str, partition: int, record: Record, reason: Reason, detail: str) -> DeadLetter:
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        reason=reason,
        detail=detail,
        key=record.key,
        value=record.value,
    )


def judge(error: Exception) -> Reason:
    """JSON that is not what the topic holds, no JSON at all, or our own code."""
    if isinstance(error, msgspec.ValidationError):
        return Reason.INVALID
    return Reason.NOT_JSON if isinstance(error, UNREADABLE) else Reason.FAILED


def home(letter: DeadLetter) -> str:
    """The topic it goes to."""
    return topics.PARKED if letter.sink else topics.DEAD_LETTERS


def write(app_name: str, letter: DeadLetter) -> bytes:
    """The record for the letter's `home`; its key is the letter's. Counts the letter and logs it. Nothing behind the
    record may be acknowledged before Kafka has it.

    A letter that cannot be delivered would stop its partition for good. What is too large for one (a broker that
    allows more) is left where it lies, and the letter says so.
    """
    if letter.sink:
        telemetry.PARKED.labels(letter.sink, letter.reason).inc()
    else:
        telemetry.DEAD_LETTERS.labels(app_name, letter.reason).inc()
    log.warning(
        "update parked" if letter.sink else "dead letter",
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        reason=letter.reason,
        detail=letter.detail,
    )
    data = dead_letters.encode(letter)
    if len(data) <= LETTER_BYTES_MAX:
        return data
    left_out = len(letter.value or b"")
    detail = f"{letter.detail}; its {left_out:,} bytes are too many for a letter and stay in {letter.topic}"
    return dead_letters.encode(msgspec.structs.replace(letter, value=None, left_out_bytes=left_out, detail=detail))
