"""His events in Kafka, which deletes no single record: they can be told, and when they are gone."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import msgspec

from gateway.admin.reading import NotAllReadError, Progress, Tally, reading
from gateway.admin.views import utc
from gateway.privacy.retention import STATE_GOES, STUDENTS, days, in_kafka
from gateway.privacy.store import Held, Lot
from wire import topics

KEYED = (topics.ACTIVITY, topics.LATE, topics.DEAD_LETTERS)  # by the student's id
TOLD = (topics.METRICS, topics.PARKED)  # by his scope: the same numbers as in the history


class Events:
    name = "kafka"

    def __init__(self, servers: str, timeout_s: float, progress: Progress) -> None:
        """`servers`: host:port, separated by commas. `timeout_s`: for each call here."""
        self._servers = [server.strip() for server in servers.split(",")]
        self._timeout_s = timeout_s
        self._progress = progress

    async def export(self, student_id: str) -> Held:
        held: dict[str, list[Any]] = {in_kafka(topic): [] for topic in KEYED}
        async with aclosing(self._records(student_id)) as records:
            async for topic, record in records:
                written = utc(record.timestamp).isoformat()
                place = {"partition": record.partition, "offset": record.offset, "written": written}
                held[in_kafka(topic)].append({**place, "value": _read(record.value)})
        return held

    async def erase(self, student_id: str, *, dry_run: bool) -> list[Lot]:  # noqa: ARG002 -- nothing can be
        number, newest_ms = dict.fromkeys(KEYED, 0), dict.fromkeys(KEYED, 0)
        async with aclosing(self._records(student_id)) as records:
            async for topic, record in records:
                number[topic] += 1
                newest_ms[topic] = max(newest_ms[topic], record.timestamp)
        known = topics.load()
        lots = []
        for topic in KEYED:
            gone = utc(newest_ms[topic]) + timedelta(days=days(known[topic]))
            lots.append(Lot(in_kafka(topic), number[topic], f"by {gone:%Y-%m-%d}" if number[topic] else "nothing"))
        lots += [Lot(in_kafka(topic), None, f"{days(known[topic])} d after the last is told") for topic in TOLD]
        return [*lots, Lot(in_kafka(STUDENTS), None, f"{STATE_GOES}; what is told until then is written anew")]

    async def _records(self, student_id: str) -> AsyncGenerator[tuple[str, Any], None]:
        """Of all partitions: where a topic was given more of them, older records lie elsewhere."""
        key = student_id.encode()
        async with reading(self._servers, self._timeout_s, KEYED) as there:
            for topic in KEYED:
                tally = Tally(self._progress)
                async with aclosing(there.records(await there.starts(topic), tally)) as records:
                    async for record in records:
                        if record.key == key:
                            yield topic, record
                if not tally.complete:
                    raise NotAllReadError(
                        f"{tally.read:,} of the {tally.total:,} records of {topic} were read within "
                        f"{self._timeout_s:g} s: --timeout waits longer"
                    )


def _read(value: bytes | None) -> Any:
    """As JSON where it is."""
    try:
        return msgspec.json.decode(value or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"base64": base64.b64encode(value or b"").decode()}
