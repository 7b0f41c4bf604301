"""Faust's recovery of tables, without the hole between the last changelog record and the first event.

Faust (0.15.3) un-pauses the streams' partitions while its fetcher runs, seeks them to their committed offsets, and then
clears the agents' queues. What was fetched before the seek is thrown away with the queues, noted as a gap in the
offsets, committed with it, and fetched again only later, behind events that came after it: a fold that goes by offsets
has then passed it by. With the flow stopped before, nothing is fetched until all three are done.
"""

from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery


class SeekFirst(Recovery):  # type: ignore[misc]
    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        self.app.consumer.stop_flow()  # Faust resumes it at the end; after another rebalance the next recovery does
        await super().on_recovery_completed(generation_id)


class Tables(TableManager):  # type: ignore[misc]
    _recovery: Any

    @property
    def recovery(self) -> Any:
        if self._recovery is None:
            self._recovery = SeekFirst(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
