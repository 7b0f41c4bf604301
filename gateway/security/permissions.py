"""Which role may call which route, and which of what he asks for must be his. `Gate` goes by it, docs/security.md shows
it, and tests hold the app's routes against it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from gateway.security.principal import Role


class Check(StrEnum):
    """Beside the role."""

    NONE = ""
    PAGE = "called by one of our names, and from our own page"  # who is let in is not known, or not yet
    SCOPE = "the scope is his"
    EACH_SCOPE = "each scope is his"
    LEFT_OUT = "what is not his is left out"
    COURSE = "the key has the event's course"
    WHOLE = "none: it is about everybody"


class Rule(NamedTuple):
    roles: frozenset[Role] | None  # None: anybody
    check: Check
    shown: bool = False  # by the page: where nobody logs in, to whoever is let in


_VIEWERS = frozenset(Role) - {Role.PRODUCER}
_KEEPERS = frozenset({Role.ADMIN, Role.SRE})
_DOOR = Rule(frozenset({Role.PRODUCER}), Check.COURSE)
_ASKED = Rule(frozenset({Role.PRODUCER}), Check.NONE)  # nothing is there
_PUBLIC = Rule(None, Check.NONE)
_PAGE = Rule(None, Check.PAGE)
_KEPT = Rule(_KEEPERS, Check.WHOLE)
PIPELINE = "GET /api/v1/admin/pipeline"  # what the live scope `oncall` has, too

TABLE: Mapping[str, Rule] = {
    "POST /api/v1/events": _DOOR,
    "POST /xapi/statements": _DOOR,
    "PUT /xapi/statements": _DOOR,
    "GET /xapi/statements": Rule(frozenset({Role.ADMIN}), Check.WHOLE),  # where they are kept; with names
    "GET /xapi/about": _PUBLIC,
    **{f"{method} /xapi/{{resource}}": _ASKED for method in ("GET", "POST", "PUT", "DELETE")},
    "POST /ingest/jupyter": _DOOR,
    "POST /ingest/caliper": _DOOR,
    "POST /api/v1/auth/login": _PAGE,
    "GET /api/v1/auth/ways": _PAGE,
    "GET /api/v1/auth/oidc/start": _PAGE,
    "GET /api/v1/auth/oidc/callback": _PAGE,
    "POST /api/v1/auth/refresh": _PAGE,
    "POST /api/v1/auth/logout": _PAGE,
    "GET /api/v1/auth/me": Rule(_VIEWERS, Check.NONE),
    "GET /api/v1/dashboard/overview": Rule(_VIEWERS, Check.LEFT_OUT),
    "GET /api/v1/history/{scope}": Rule(_VIEWERS, Check.SCOPE),
    "WS /ws/live": Rule(_VIEWERS, Check.EACH_SCOPE),
    "GET /api/v1/live/stream": Rule(_VIEWERS, Check.EACH_SCOPE),
    "GET /api/v1/health": Rule(frozenset({Role.TEACHER, Role.ADMIN, Role.SRE}), Check.NONE),
    "GET /metrics": Rule(frozenset({Role.TEACHER, Role.ADMIN, Role.SRE}), Check.NONE),
    "GET /api/v1/admin/dead-letters": _KEPT,
    "GET /api/v1/admin/dead-letters/{letter_id}": _KEPT,
    "POST /api/v1/admin/dead-letters/replay": _KEPT,
    "POST /api/v1/admin/dead-letters/drop": _KEPT,
    "GET /api/v1/admin/audit": _KEPT,
    "GET /api/v1/admin/trace/{event_id}": _KEPT,
    "GET /api/v1/admin/consumers": _KEPT,
    "GET /api/v1/admin/consumers/{group}/lag": _KEPT,
    "POST /api/v1/admin/consumers/{group}/pause": _KEPT,
    "POST /api/v1/admin/consumers/{group}/resume": _KEPT,
    "POST /api/v1/admin/workers/{worker_id}/drain": _KEPT,
    "GET /api/v1/admin/topics": _KEPT,
    "GET /api/v1/admin/system-status": _KEPT,
    PIPELINE: Rule(_KEEPERS, Check.WHOLE, shown=True),
    "GET /api/v1/admin/worker-status": _KEPT,
    "GET /api/v1/admin/performance": _KEPT,
    "GET /api/v1/admin/rate-limits": _KEPT,
    "GET /api/v1/admin/viewers": _KEPT,
    "GET /api/v1/admin/metrics": _KEPT,
    "GET /readyz": _PUBLIC,
    "GET /livez": _PUBLIC,
    "GET /startupz": _PUBLIC,
    "GET /openapi.json": _PUBLIC,
    "GET /.well-known/jwks.json": _PUBLIC,
    "GET /": _PUBLIC,
    "GET /{file}": _PUBLIC,
    "GET /assets/{file}": _PUBLIC,
}
