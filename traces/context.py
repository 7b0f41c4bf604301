"""Where in a trace something happened, as `traceparent` of the W3C's Trace Context has it. Pure.

https://www.w3.org/TR/trace-context/#traceparent-header
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

HEADER = "traceparent"  # of HTTP requests and Kafka's records
CONTEXTS_MAX = 8  # of one record: of so many sampled events it is known that they are in it

Headers = list[tuple[str, bytes]]  # of a Kafka record; aiokafka takes no other sequence
NO_HEADERS: Headers = []

_LONGEST = 512
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Context(NamedTuple):
    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"


def parse(text: str) -> Context | None:
    """None where it is no `traceparent`. Of a later version what is known of this one is read, as the W3C has it."""
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Context(trace_id, span_id, bool(int(flags, 16) & 1))


def headers(contexts: Sequence[Context]) -> Headers:
    """Of a record that came of these; the newest is the last one, as Kafka's own readers take the last of a name."""
    return [(HEADER, str(context).encode()) for context in contexts[-CONTEXTS_MAX:]]


def of_record(headers: Iterable[tuple[str, bytes | None]]) -> tuple[Context, ...]:
    """The sampled ones. What is no `traceparent` says nothing."""
    told = [value for name, value in headers if name == HEADER and value is not None]
    found = (parse(value.decode("ascii", "replace")) for value in told[-CONTEXTS_MAX:])
    return tuple(context for context in found if context is not None and context.sampled)
