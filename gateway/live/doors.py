"""How many may watch at once: in all, from one address, and of one user. Pure."""

from collections import Counter
from typing import NamedTuple

from wire.frames import CloseCode


class Bound(NamedTuple):
    """Connections at once, of one process."""

    viewers: int
    per_address: int
    per_user: int


class Visitor(NamedTuple):
    address: str
    user: str | None  # his name, where it is known


class Doors:
    """Whoever was let in by `enter` must `leave`."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._addresses: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        self.viewers = 0

    def enter(self, visitor: Visitor) -> CloseCode | None:
        """None: he is in. Else why not."""
        address, user = visitor
        if self.viewers >= self._bound.viewers:
            return CloseCode.FULL
        if self._addresses[address] >= self._bound.per_address:
            return CloseCode.FULL_ADDRESS
        if user is not None and self._users[user] >= self._bound.per_user:
            return CloseCode.FULL_USER
        self._addresses[address] += 1
        if user is not None:
            self._users[user] += 1
        self.viewers += 1
        return None

    @property
    def bound(self) -> Bound:
        return self._bound

    def addresses(self) -> list[tuple[str, int]]:
        """Each with how many are there from it, the most first."""
        return sorted(self._addresses.items(), key=lambda one: (-one[1], one[0]))

    def most_of_a_user(self) -> int:
        return max(self._users.values(), default=0)

    def leave(self, visitor: Visitor) -> None:
        self.viewers -= 1
        _less(self._addresses, visitor.address)
        if visitor.user is not None:
            _less(self._users, visitor.user)


def _less(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
