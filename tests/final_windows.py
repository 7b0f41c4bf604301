"""What `metrics` says of the windows that are over, as it is told, beside what it ought to say."""

import asyncio
from typing import NamedTuple

import msgspec
from counting_truth import Follower
from windows_by_sql import Truth, Window

from wire import topics
from wire.metrics import Label, Metric, State


class _Point(msgspec.Struct, gc=False):
    """Of a MetricPoint what is compared: millions are read."""

    metric: Metric
    start_ms: int
    value: float
    n: int
    as_of_ms: int
    label: Label = ""
    state: State = State.PROVISIONAL


class _Update(msgspec.Struct, gc=False):
    scope: str
    points: list[_Point]


class Difference(NamedTuple):
    window: Window
    told: tuple[float, int] | None  # value and n; None: nothing
    true: tuple[float, int] | None


_decode = msgspec.json.Decoder(_Update).decode


class FinalWindows(Follower):
    """The windows whose newest value is final or corrected. Newest is what has seen most, as for a sink: a worker that
    does not know yet that it is replaced may tell older values last."""

    def __init__(self, kafka: str) -> None:
        super().__init__(kafka, topics.METRICS, topics.load()[topics.METRICS].partitions)
        self._newest: dict[Window, tuple[int, float, int]] = {}  # as_of_ms, value, n
        self.corrected: set[Window] = set()

    def __len__(self) -> int:
        return len(self._newest)

    async def read(self) -> int:
        """Takes in what has come; says how many updates."""
        newest, news = self._newest, await self.news()
        for number, record in enumerate(news):
            update = _decode(record.value)
            for point in update.points:
                window = (update.scope, point.metric.value, point.label, point.start_ms)
                before = newest.get(window)
                if before is not None and before[0] > point.as_of_ms:
                    continue
                if point.state is State.PROVISIONAL:
                    newest.pop(window, None)
                    continue
                newest[window] = (point.as_of_ms, point.value, point.n)
                if point.state is State.CORRECTED:
                    self.corrected.add(window)
            if number % 100 == 0:
                await asyncio.sleep(0)
        return len(news)

    def differences(self, truth: Truth) -> list[Difference]:
        out = []
        unknown = set(self._newest)
        for window, value, n in truth:
            unknown.discard(window)
            told = self._newest.get(window)
            if told is None or told[1:] != (value, n):
                out.append(Difference(window, told and told[1:], (value, n)))
        return out + [Difference(window, self._newest[window][1:], None) for window in unknown]
