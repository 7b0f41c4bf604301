"""What the gateway and its commands ask of a history store. tests/contracts/ holds readers and their writers to it."""

from typing import Protocol

from wire.metrics import Metric, MetricPoint


class HistoryAwayError(Exception):
    """The store cannot be reached or does not answer as it should; asking again later may help. Names no secret."""


class HistoryReader(Protocol):
    name: str  # influxdb or postgresql

    async def read(self, scope: str, metric: Metric, label: str, start_ms: int, end_ms: int) -> list[MetricPoint]:
        """The points whose window starts in [start_ms, end_ms), by start; label "" is the metric without one.

        Raises HistoryAwayError, at the latest after TIMEOUT_S.
        """

    async def everything(self, scope: str) -> list[MetricPoint]:
        """Every point of the scope, by metric, label and start. Raises HistoryAwayError."""

    async def erase(self, scope: str) -> None:
        """The same points. Raises HistoryAwayError, with any part of them erased."""

    async def check(self) -> str:
        """Asks the store for something only a working one can tell; what it is, for people. Raises HistoryAwayError."""

    async def close(self) -> None: ...


TIMEOUT_S = 10.0
