"""The workers' part of a trace: a span for what a batch holds of one, and who in what is told goes on with it.

Where several sampled events have become one record, its header names each of the newest ones; the span that reads it is
the newest one's child and links to the others. What a trace says is in headers only: no number knows of it.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import structlog

from pipelines.outlet import Outgoing
from pipelines.records import Record
from traces import context
from traces.context import Context
from traces.tracer import Attributes, Kind, Span, Tracer

SPANS_MAX = 32  # of a batch; with a share of 1 under load what is beyond is not followed
SCOPES_MAX = 1_000  # of a partition that wait to be told


class Followed(NamedTuple):
    """The records of a batch that came of the same."""

    span: Span
    records: list[Record]


class Following:
    """Of one batch, for as long as it is worked on. Its lines in the log name a trace, also where it fails: then it is
    not ended."""

    def __init__(self, tracer: Tracer, group: str, topic: str, partition: int, records: Iterable[Record]) -> None:
        self.followed: list[Followed] = []
        if not tracer.on:
            return
        by_contexts: dict[tuple[Context, ...], list[Record]] = {}
        for record in records:
            if record.headers and (contexts := context.of_record(record.headers)):
                some = by_contexts.get(contexts)
                if some is not None:
                    some.append(record)
                elif len(by_contexts) < SPANS_MAX:
                    by_contexts[contexts] = [record]
        for (*others, newest), some in by_contexts.items():
            attributes: Attributes = {
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": str(partition),
                "messaging.consumer.group.name": group,
                "messaging.kafka.offset": some[0].offset,
                "messaging.batch.message_count": len(some),
            }
            span = tracer.begin(f"process {topic}", Kind.CONSUMER, newest, attributes, others)
            self.followed.append(Followed(span, some))
        if self.followed:
            structlog.contextvars.bind_contextvars(trace_id=self.followed[-1].span.context.trace_id)

    def __bool__(self) -> bool:
        return bool(self.followed)

    def by_scope(self) -> Iterator[tuple[bytes, Context]]:
        """Where a record's key is its scope."""
        return ((record.key or b"", span.context) for span, records in self.followed for record in records)

    def end(self, failed: str = "") -> None:
        if self.followed:
            for span, _ in self.followed:
                span.end(failed=failed)
            structlog.contextvars.unbind_contextvars("trace_id")


class Trail:
    """Of one partition: scope → what its next record comes of."""

    def __init__(self) -> None:
        self._of: dict[bytes, list[Context]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, scope: bytes, what: Context) -> None:
        if scope not in self._of and len(self._of) >= SCOPES_MAX:
            return
        of = self._of.setdefault(scope, [])
        of.append(what)
        del of[: -context.CONTEXTS_MAX]

    def on(self, record: Outgoing) -> Outgoing:
        """The record with its headers; the first one of its scope."""
        of = self._of.pop(record.key, None) if record.key is not None else None
        return record if of is None else record._replace(headers=context.headers(of))

    def clear(self) -> None:
        """All was told; what is left has changed nothing."""
        self._of.clear()


def newest(by_scope: Iterable[tuple[bytes, Context]]) -> dict[str, str]:
    """Scope → `traceparent`."""
    return {scope.decode(errors="replace"): str(what) for scope, what in by_scope}
