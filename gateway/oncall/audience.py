"""Who watches live values, of this process, as the API tells it."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from gateway.live.doors import Doors
from gateway.live.feed import Feed
from gateway.live.figures import Watched
from gateway.live.session import ACK_WITHIN_S
from gateway.oncall.status import at
from wire.scopes import ScopeKind


class KindView(BaseModel):
    kind: Annotated[str, Field(description="of scope", examples=["course"])]
    subscriptions: Annotated[int, Field(description="one for each viewer of each scope")]
    scopes: Annotated[int, Field(description="that somebody watches")]


class AddressView(BaseModel):
    address: str
    viewers: int


class BoundView(BaseModel):
    """At once, of one process; more are refused."""

    viewers: int
    per_address: int
    per_user: int


class Viewers(BaseModel):
    """Of this process only: where several share a port, each has viewers of its own."""

    pid: int
    processes: Annotated[int, Field(description="of this gateway that share its port; this tells of one of them")]
    viewers: int
    bound: BoundView
    kinds: Annotated[list[KindView], Field(description="each kind of scope")]
    behind: Annotated[int, Field(description="who have not been given all there is")]
    slow: Annotated[int, Field(description=f"who have not read what they were given {ACK_WITHIN_S:g} s ago")]
    pending_bytes: Annotated[int, Field(description="before those who are behind, in this process")]
    pending_worst_bytes: Annotated[int, Field(description="before one of them")]
    most_of_a_user: Annotated[int, Field(description="the most connections of one user; 0: nobody logs in")]
    stale_since: Annotated[datetime | None, Field(description="Redis is away since then; null: it is there")]
    addresses: Annotated[list[AddressView], Field(description="where they come from, the most first")]
    next: Annotated[str | None, Field(description="`after` of the next page of addresses; null: this is the last")]


def view(
    feed: Feed, doors: Doors, seen: Watched, processes: int, page: Sequence[tuple[str, int]], next_: str | None
) -> Viewers:
    """`page`: of the addresses."""
    away_ms = feed.away_since_ms
    return Viewers(
        pid=os.getpid(),
        processes=processes,
        viewers=doors.viewers,
        bound=BoundView(**doors.bound._asdict()),
        kinds=[
            KindView(kind=kind, subscriptions=seen.kinds[kind], scopes=seen.scopes[kind])
            for kind in map(str, ScopeKind)
        ],
        behind=seen.behind,
        slow=seen.slow,
        pending_bytes=seen.pending_bytes,
        pending_worst_bytes=seen.pending_worst_bytes,
        most_of_a_user=doors.most_of_a_user(),
        stale_since=None if away_ms is None else at(away_ms),
        addresses=[AddressView(address=address, viewers=number) for address, number in page],
        next=next_,
    )
