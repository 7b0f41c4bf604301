"""Whether it makes sense to send a letter's record to its topic again. Pure."""

import msgspec

from wire import events, metrics, partials, topics
from wire.dead_letters import DeadLetter, Handled

LATE_MS = 3_600_000  # as CLASSPULSE_LATENESS_S has it by default

_READABLE = {topics.ACTIVITY: events.decode, topics.PARTIALS: partials.decode, topics.METRICS: metrics.decode}


def impossible(letter: DeadLetter) -> str:
    """Why it can never be; "" where it can."""
    if letter.topic not in _READABLE:
        return f"nothing is replayed to {letter.topic!r}"
    if letter.left_out_bytes:
        return f"its {letter.left_out_bytes:,} bytes are not in the letter, only in {letter.topic}"
    return ""


def pointless(letter: DeadLetter, handled: Handled | None, now_ms: int, skew_ms: int) -> str:
    """Why it would be in vain, or was done before; "" where it makes sense."""
    if handled is not None:
        return f"{handled.action} already, by {handled.by}: {handled.why}"
    if reason := _unreadable(letter, now_ms, skew_ms):
        return f"it would come back: {reason}"
    return ""


def warning(letter: DeadLetter, now_ms: int) -> str:
    """What is worth knowing of one that is readable."""
    if letter.topic != topics.ACTIVITY or not _is_event(letter):
        return ""
    age_ms = now_ms - events.decode(letter.value or b"").occurred_at_ms
    if age_ms <= LATE_MS:
        return ""
    return f"happened {age_ms / 3_600_000:.1f} h ago: kept as late, not counted, if its partition is that far on"


def _unreadable(letter: DeadLetter, now_ms: int, skew_ms: int) -> str:
    if letter.value is None:
        return "it has no value"
    try:
        read = _READABLE[letter.topic](letter.value)
    except msgspec.ValidationError as error:
        return str(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"not JSON: {error}"
    if not isinstance(read, events.ActivityEvent):
        return ""
    if letter.key != read.student_id.encode():
        return "it has no key" if letter.key is None else "its key is not its student_id"
    if read.occurred_at_ms < 0:
        return "occurred_at lies before 1970"
    ahead_ms = read.occurred_at_ms - now_ms
    return f"occurred_at is still {ahead_ms / 1000:.0f} s ahead" if ahead_ms > skew_ms else ""


def _is_event(letter: DeadLetter) -> bool:
    try:
        return letter.value is not None and bool(events.decode(letter.value))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
