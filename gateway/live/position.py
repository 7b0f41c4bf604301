"""How far a viewer is in one scope."""

from collections import deque
from typing import NamedTuple

from wire.frames import Reason
from wire.metrics import Metric

Metrics = frozenset[Metric] | None  # None: all


class Place(NamedTuple):
    """Up to where a viewer has a scope, as he says."""

    epoch: str
    offset: int


class Position:
    """Of a viewer who does not keep up, or has not had all yet."""

    __slots__ = ("backlog", "generation", "offset", "reason", "resume", "stale")

    def __init__(self, generation: int, offset: int, *, stale: bool, resume: Place | None = None) -> None:
        self.generation = generation
        self.offset = offset
        self.stale = stale  # he was told that it is
        self.resume = resume  # until it is known whether he can be given what he missed
        self.reason = Reason.NONE  # why he cannot
        self.backlog: deque[bytes] | None = None  # of what he missed, from `offset` on

    @property
    def waits(self) -> bool:
        return self.resume is not None or bool(self.backlog)
