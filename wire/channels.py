"""The names of everything in Redis, with how long it lives. Braces put a scope's keys into one hash slot."""

from datetime import date

from wire.scopes import ScopeKind

PREFIX = "classpulse"

NOW_TTL_S = 26 * 3600  # a scope quiet for more than a day leaves Redis; history still has it
DAY_TTL_S = 15 * 86_400  # two weeks of days
SEEN_MAX = 10_000  # of a kind: five times what the dashboard shows. Ids that are made up would pile up for ever
WORKER_TTL_S = 10  # five missed heartbeats
HEARTBEAT_S = 2.0


def now(scope: str) -> str:
    """Hash: `MetricPoint.field` → the newest window's MetricPoint as JSON."""
    return f"{PREFIX}:{{{scope}}}:now"


def day(scope: str, day_: date) -> str:
    """Hash: `MetricPoint.field` → that UTC day's MetricPoint as JSON, of the metrics whose window is a day."""
    return f"{PREFIX}:{{{scope}}}:day:{day_.isoformat()}"


def head(scope: str) -> str:
    """Hash: `epoch` (text, new whenever the scope starts anew) and `offset` (of the last update published)."""
    return f"{PREFIX}:{{{scope}}}:head"


def stream(scope: str) -> str:
    """Stream: id `<offset>-0`, field `frame` → the update frame as it was published."""
    return f"{PREFIX}:{{{scope}}}:stream"


def stream_max_len(scope: str) -> int:
    """Updates kept for viewers who come back: of a course or team at 10 a second 100 s; a student has fewer, and of
    thousands of students each kept update costs: 2.4 KB."""
    return 30 if scope.startswith(f"{ScopeKind.STUDENT}:") else 1_000


def live(scope: str) -> str:
    """Pub/sub channel: update frames (`wire.frames.Update`), one message an update; `frames.untraced` says what else
    one may hold."""
    return f"{PREFIX}:{{{scope}}}:live"


def seen(scope_kind: str) -> str:
    """Sorted set: scope id → event time (ms) by which its newest event had happened. The SEEN_MAX newest, on the roster
    or not."""
    return f"{PREFIX}:seen:{scope_kind}"


def worker(worker_id: str) -> str:
    """String with WORKER_TTL_S: `wire.workers.Heartbeat` as JSON."""
    return f"{PREFIX}:worker:{worker_id}"


def standing(group: str) -> str:
    """String: `wire.orders.Standing` as JSON, what a consumer group is ordered to do."""
    return f"{PREFIX}:standing:{group}"


def drain(worker_id: str) -> str:
    """String with `wire.orders.DRAIN_TTL_S`: `wire.orders.Drain` as JSON."""
    return f"{PREFIX}:drain:{worker_id}"


WORKERS = f"{PREFIX}:worker:*"  # the pattern that finds every worker's key

GATEWAYS = f"{PREFIX}:gateways"  # sorted set: `wire.gateways.Sibling` as JSON → when it last said that it lives
