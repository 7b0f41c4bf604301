"""Which partitions have something to tell, and may tell it now.

What is told must not go back after a kill. So a restored partition first reads again what it may have told before, and
tells when it has come so far; or at a commit, before which it has to.
"""

from collections.abc import Collection


class Due:
    def __init__(self) -> None:
        self._changed: set[int] = set()
        self._fresh: set[int] = set()  # restored, and nothing read or told since
        self._behind: dict[int, int] = {}  # what was read before this offset may have been told before

    @property
    def ready(self) -> Collection[int]:
        return self._changed - self._behind.keys()

    def restored(self, partition: int) -> None:
        self._fresh.add(partition)

    def lost(self, partition: int) -> None:
        self._changed.discard(partition)
        self._fresh.discard(partition)
        self._behind.pop(partition, None)

    def read(self, partition: int, next_offset: int, end: int) -> None:
        """A batch up to `next_offset`; `end` of the topic's partition as known."""
        self._changed.add(partition)
        if partition in self._fresh:
            self._fresh.discard(partition)
            self._behind[partition] = end
        if next_offset >= self._behind.get(partition, 0):
            self._behind.pop(partition, None)

    def changed(self, partition: int) -> None:
        self._changed.add(partition)

    def told(self, partition: int) -> None:
        self._changed.discard(partition)

    def committing(self, partition: int) -> None:
        """What has changed is told before a commit, however far it has come."""
        self._behind.pop(partition, None)
        if partition in self._fresh:
            self._fresh.discard(partition)
            self._changed.add(partition)
