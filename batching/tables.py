"""Tables that are dictionaries, and write their changelog by the flush: each key once, however often it changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

import msgspec
from faust.exceptions import ImproperlyConfigured
from faust.tables.manager import TableManager

from batching.records import Record

Key = TypeVar("Key", str, bytes)
Value = TypeVar("Value")

# The record of a changelog that says up to where the topics are in it: written in the transaction of what it speaks of.
POSITION = b"\x00batching.position"

_positions = msgspec.json.Decoder(dict[str, int])


class TablePartition(MutableMapping[Key, Value]):
    """One partition of a table. Setting and deleting mark the key for the next flush.

    `data` is the dictionary itself, to read at its full speed; who changes it, or a value within it, calls `touch`.
    """

    __slots__ = ("data", "dirty")

    def __init__(self) -> None:
        self.data: dict[Key, Value] = {}
        self.dirty: dict[Key, None] = {}

    def touch(self, keys: Iterable[Key]) -> None:
        self.dirty.update(dict.fromkeys(keys))

    def put(self, changes: Mapping[Key, Value | None]) -> None:
        """Sets them; None: the key is deleted, also where it is not here."""
        for key, value in changes.items():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        self.touch(changes)

    def taken(self) -> dict[Key, Value]:
        """What has been restored, of a table that does not keep it: it is the caller's from now on."""
        data, self.data = self.data, {}
        return data

    def __getitem__(self, key: Key) -> Value:
        return self.data[key]

    def __setitem__(self, key: Key, value: Value) -> None:
        self.data[key] = value
        self.dirty[key] = None

    def __delitem__(self, key: Key) -> None:
        del self.data[key]
        self.dirty[key] = None

    def __contains__(self, key: object) -> bool:
        return key in self.data

    def __iter__(self) -> Iterator[Key]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class WriteBehindTable(Generic[Key, Value]):
    """Partition n belongs to who has partition n of the source. What is set is durable after the next flush of it."""

    def __init__(
        self,
        name: str,
        changelog: str,
        source: str,
        key_type: type[Key],
        encode: Callable[[Value], bytes],
        decode: Callable[[bytes], Value],
        keeps: bool = True,
    ) -> None:
        self.name = name
        self.changelog = changelog
        self.source = source
        self._text = key_type is str
        self._encode = encode
        self._decode = decode
        self._keeps = keeps
        self._partitions: dict[int, TablePartition[Key, Value]] = {}

    def partition(self, number: int) -> TablePartition[Key, Value]:
        """Ask for it in each batch: after a rebalance it is another one. Raises KeyError where it is not ours."""
        return self._partitions[number]

    def reset(self, number: int) -> None:
        self._partitions[number] = TablePartition()

    def drop(self, number: int) -> None:
        self._partitions.pop(number, None)

    def restore(self, number: int, records: Iterable[Record]) -> dict[str, int]:
        """Applies a stretch of the changelog; the positions it tells, the last ones."""
        data: dict[Any, Any] = self._partitions[number].data
        text, decode, told = self._text, self._decode, b""
        for record in records:
            key: Any = record.key
            value = record.value
            if key == POSITION:
                told = value or b""
                continue
            if text:
                key = key.decode()
            if value is None:
                data.pop(key, None)
            else:
                data[key] = decode(value)
        return _positions.decode(told) if told else {}

    def pending(self, number: int) -> int:
        """Keys that the next flush will write."""
        return len(self._partitions[number].dirty)

    def changes(self, number: int) -> Iterator[tuple[bytes, bytes | None]]:
        """What is dirty, encoded as it is when it is asked for; clean from now on. None: deleted."""
        partition = self._partitions[number]
        data, dirty, partition.dirty = partition.data, partition.dirty, {}
        if not self._keeps:
            partition.data = {}
        for key in dirty:
            raw = key.encode() if isinstance(key, str) else key
            if raw == POSITION or not isinstance(raw, bytes):
                raise ValueError(f"table {self.name}, partition {number}: it may not have the key {raw!r}")
            value = data.get(key)
            yield raw, None if value is None else self._encode(value)


def position_record(position: dict[str, int]) -> bytes:
    return msgspec.json.encode(position)


class Tables(TableManager):  # type: ignore[misc]
    """In place of Faust's table manager: it starts nothing, and says when the first assignment has been restored."""

    async def on_start(self) -> None:
        self._tables_finalized.set()
        self._tables_registered.set()

    async def on_stop(self) -> None:
        """Nothing was started."""

    def on_rebalance_start(self) -> None:
        """Nothing of it is ours to pause."""

    @property
    def changelog_topics(self) -> set[str]:
        """Never empty: with no changelog Faust takes an assignor that does not keep partitions together."""
        return {table.changelog for table in self.app.write_behind} or {f"{self.app.conf.id}-none-changelog"}

    def add(self, table: Any) -> Any:
        raise ImproperlyConfigured(f"table {table.name}: a batching app has write_behind_table() instead")

    async def wait_until_recovery_completed(self) -> bool:
        return bool(await self.wait_for_stopped(self.app.restored))
