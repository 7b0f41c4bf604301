"""What the two transports know of their reading, and how it is paused."""

from typing import Any, Protocol


class Reading(Protocol):
    """What a transport knows of its reading."""

    def held(self) -> dict[str, list[int]]:
        """The partitions that are ours, by topic."""
        ...

    def lag_records(self) -> int:
        """Records of its partitions that it has not read, as of the last fetch answer."""
        ...

    def waits_for(self) -> str:
        """What must be before anything is read; "" where it is."""
        ...

    def pause(self, paused: bool) -> None:
        """No further batch is taken, or again; said with each heartbeat."""
        ...


class ByTheBatch:
    """The reading of a batching app."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def held(self) -> dict[str, list[int]]:
        numbers = sorted(self._app.delivery.shards)
        return dict.fromkeys(sorted(self._app.batch_topics), numbers) if numbers else {}

    def lag_records(self) -> int:
        return sum(shard.lag(topic) for shard in self._app.delivery.shards.values() for topic in shard.topics)

    def waits_for(self) -> str:
        if not all(shard.open for shard in self._app.delivery.shards.values()):
            return "recovering its tables"
        if not self._app.started or self._app.rebalancing or not self._app.restored.is_set():
            return "joining the consumer group"
        return ""

    def pause(self, paused: bool) -> None:
        self._app.delivery.pause(paused)
