"""Records of several partitions, dealt out in the order of their timestamps, in big steps. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from pipelines.records import Record


class Step(NamedTuple):
    until_ms: int  # record time: all there is up to here has been dealt out
    records: Mapping[int, Sequence[Record]]  # partition → records, in the order of their offsets
    coming: Mapping[int, Record | None]  # partitions of which there is more → the next record, where it is known


class InStep:
    """Else one partition would be read far ahead of the others, and all that these still add to have to be kept."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self._held: dict[int, list[Record]] = {partition: [] for partition in partitions}
        self._open = set(self._held)  # more of them comes
        self._until_ms = 0

    @property
    def wanted(self) -> Collection[int]:
        """Of which something must come, or be known to be the end, before the next step."""
        return [partition for partition in self._open if not self._held[partition]]

    @property
    def is_over(self) -> bool:
        return not self._open and not any(self._held.values())

    def put(self, partition: int, records: Iterable[Record]) -> None:
        self._held[partition] += records

    def end(self, partition: int) -> None:
        self._open.discard(partition)

    def take(self) -> Step:
        """What comes before all that is still to come: of one partition at least, everything that is held."""
        newest = {partition: max(record.timestamp for record in held) for partition, held in self._held.items() if held}
        reach_ms = min(newest[partition] for partition in self._open) if self._open else max(newest.values())
        self._until_ms = max(self._until_ms, reach_ms)
        taken: dict[int, Sequence[Record]] = {}
        for partition in newest:
            held = self._held[partition]
            # The clocks of several doors differ, so timestamps need not ascend; the offsets' order is kept.
            behind = (at for at, record in enumerate(held) if record.timestamp > self._until_ms)
            cut = next(behind, len(held))
            taken[partition], self._held[partition] = held[:cut], held[cut:]
        more = {
            partition: held[0] if held else None
            for partition, held in self._held.items()
            if held or partition in self._open
        }
        return Step(self._until_ms, taken, more)
