"""What a place is that holds something of a student."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from redis.exceptions import RedisError

from gateway.admin.reading import KafkaAwayError, NotAllReadError
from gateway.database import DatabaseAwayError
from gateway.history.store import HistoryAwayError

# What a store raises when it is away, or has not told all.
AWAY = (DatabaseAwayError, HistoryAwayError, KafkaAwayError, NotAllReadError, RedisError, OSError, TimeoutError)

Held = Mapping[str, Sequence[Any]]  # where it lies, as `retention.TABLE` names it → what lies there, as JSON has it


class Lot(NamedTuple):
    """What lies in one place, and what becomes of it."""

    where: str  # as `retention.TABLE` names it
    number: int | None  # rows, points, keys or records; None: not counted
    goes: str = ""  # of what cannot be erased: when it is gone by itself; "": it is erased


class Store(Protocol):
    """Another one is an entry more in `student.Stores`."""

    name: str

    async def export(self, student_id: str) -> Held:
        """All of it. Raises one of AWAY."""

    async def erase(self, student_id: str, *, dry_run: bool) -> list[Lot]:
        """Erases what can be, or with `dry_run` only says so; again it finds what has come since. Raises one of AWAY,
        with any part of it done."""
