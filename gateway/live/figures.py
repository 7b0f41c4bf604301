"""How many watch what, and how well they keep up. Pure. Probes, which watch scopes of their own, are left out."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from gateway.live.fanout import FanOut
from wire import probe


class Watched(NamedTuple):
    kinds: Counter[str]  # kind of scope → subscriptions
    scopes: Counter[str]  # kind of scope → scopes that somebody watches
    behind: int  # viewers who have not been given all there is
    slow: int  # who have not read what was told to them
    pending_bytes: int  # lying before those who are behind
    pending_worst_bytes: int  # before one of them


def watched(fanout: FanOut, now_s: float, slow_s: float) -> Watched:
    """`slow_s`: after so long all should be read."""
    kinds: Counter[str] = Counter()
    scopes: Counter[str] = Counter()
    for name, viewers in fanout.watching().items():
        if not probe.is_scope(name):
            kind = name.partition(":")[0]
            kinds[kind] += viewers
            scopes[kind] += 1
    behind = [viewer for viewer in fanout.behind if _is_people(viewer.views)]
    late = [viewer for viewer in fanout.late(now_s - slow_s, _ANY) if _is_people(viewer.views)]
    pending = [viewer.outlet.pending for viewer in behind]
    return Watched(kinds, scopes, len(behind), len(late), sum(pending), max(pending, default=0))


_ANY = 1 << 62  # bytes: it is about time only


def _is_people(scopes: Iterable[str]) -> bool:
    return any(not probe.is_scope(name) for name in scopes)
