"""What `GET /xapi/statements` asks for, read from its parameters. Pure."""

import base64
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from gateway.ingest.xapi import statement as statements
from gateway.ingest.xapi.shapes import EXPECTED, IRI, TIME, Agent, Iri
from gateway.ingest.xapi.statement import StatementError
from gateway.statements import facets
from gateway.statements.facets import Kind
from gateway.statements.formats import Format

PAGE_MAX = 500
SHOWN = frozenset({"format", "attachments"})
SINGLE = frozenset({"statementId", "voidedStatementId"})
FILTERS = frozenset({"agent", "verb", "activity", "registration", "related_agents", "related_activities"})
MANY = FILTERS | {"since", "until", "limit", "ascending"}
MORE = "more"  # ours: the rest of what was asked before

_LIMIT = re.compile(r"[0-9]{1,9}", re.ASCII)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)

Pairs = Sequence[tuple[str, str]]


class One(NamedTuple):
    id: uuid.UUID
    voided: bool  # that one only if it is, or only if it is not
    format: Format
    attachments: bool


class Many(NamedTuple):
    facets: tuple[bytes, ...]  # all of them
    agent: Agent | None  # whom they are about, where that was asked
    since: datetime | None  # after
    until: datetime | None  # at or before
    limit: int
    ascending: bool
    format: Format
    attachments: bool
    after: int | None  # the place at which the page before ended
    asked: Pairs  # for the next page


class QueryError(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    after: int
    asked: list[tuple[str, str]]


def read(pairs: Pairs) -> One | Many:
    """Of the parameters as they stand in the query string, decoded. Raises QueryError."""
    given = _once(pairs)
    if MORE in given:
        if others := sorted(given.keys() - {MORE}):
            raise QueryError(others[0], f"is in `{MORE}` already: ask by that alone")
        return _rest(given[MORE])
    unknown = sorted(given.keys() - SHOWN - SINGLE - MANY)
    if unknown:
        raise QueryError(
            unknown[0], f"is no parameter of this: {', '.join(map(repr, unknown))}; they are case sensitive"
        )
    if single := sorted(given.keys() & SINGLE):
        if others := sorted(given.keys() - SHOWN - {single[0]}):
            raise QueryError(others[0], f"does not go with {single[0]}: that goes with format and attachments only")
        voided = single[0] == "voidedStatementId"
        return One(_id(given, single[0]), voided, _format(given), _flag(given, "attachments"))
    return _many(given, pairs, None)


def more(asked: Pairs, after: int) -> str:
    """The value of MORE."""
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(after, [*asked]))).rstrip(b"=").decode()


def _rest(text: str) -> Many:
    try:
        cursor = msgspec.json.decode(base64.urlsafe_b64decode(f"{text}{'=' * (-len(text) % 4)}"), type=_Cursor)
    except (ValueError, RecursionError):  # no base64, or not what it was
        raise QueryError(MORE, "is not as it was answered") from None
    given = _once(cursor.asked)
    if given.keys() - SHOWN - MANY or not 0 <= cursor.after < 2**63:
        raise QueryError(MORE, "is not as it was answered")
    return _many(given, cursor.asked, cursor.after)


def _many(given: Mapping[str, str], asked: Pairs, after: int | None) -> Many:
    wide_agents, wide_activities = _flag(given, "related_agents"), _flag(given, "related_activities")
    agent = _agent(given["agent"]) if "agent" in given else None
    found = []
    if agent is not None:
        found.append(facets.facet(Kind.RELATED_AGENT if wide_agents else Kind.AGENT, facets.agent_key(agent) or ""))
    if "verb" in given:
        found.append(facets.facet(Kind.VERB, _iri(given, "verb")))
    if "activity" in given:
        kind = Kind.RELATED_ACTIVITY if wide_activities else Kind.ACTIVITY
        found.append(facets.facet(kind, _iri(given, "activity")))
    if "registration" in given:
        found.append(facets.facet(Kind.REGISTRATION, str(_id(given, "registration"))))
    return Many(
        facets=tuple(found),
        agent=agent,
        since=_moment(given, "since"),
        until=_moment(given, "until"),
        limit=_limit(given),
        ascending=_flag(given, "ascending"),
        format=_format(given),
        attachments=_flag(given, "attachments"),
        after=after,
        asked=asked,
    )


def _once(pairs: Pairs) -> dict[str, str]:
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            raise QueryError(name, "is there more than once")
    return dict(pairs)


def _id(given: Mapping[str, str], name: str) -> uuid.UUID:
    if not _UUID.fullmatch(given[name]):
        raise QueryError(name, "expected a UUID")
    return uuid.UUID(given[name])


def _flag(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name, "false")
    if text not in ("true", "false"):
        raise QueryError(name, "expected true or false")
    return text == "true"


def _format(given: Mapping[str, str]) -> Format:
    try:
        return Format(given.get("format", Format.EXACT))
    except ValueError:
        raise QueryError("format", f"expected one of {', '.join(Format)}") from None


def _limit(given: Mapping[str, str]) -> int:
    """Of one page."""
    text = given.get("limit", "0")
    if not _LIMIT.fullmatch(text):
        raise QueryError("limit", "expected a number from 0 on")
    return min(int(text) or PAGE_MAX, PAGE_MAX)


def _iri(given: Mapping[str, str], name: str) -> str:
    try:
        return msgspec.convert(given[name], Iri)
    except msgspec.ValidationError:
        raise QueryError(name, f"expected {EXPECTED[IRI]}") from None


def _moment(given: Mapping[str, str], name: str) -> datetime | None:
    if name not in given:
        return None
    try:
        if not re.match(TIME, given[name]):
            raise StatementError(name, f"expected {EXPECTED[TIME]}")
        return statements.moment(given[name], name).astimezone(UTC)
    except StatementError as error:
        raise QueryError(name, error.reason) from None
    except OverflowError:
        raise QueryError(name, "is outside of all calendars") from None


def _agent(text: str) -> Agent:
    try:
        agent = msgspec.json.decode(text, type=Agent)
    except (ValueError, RecursionError) as error:
        raise QueryError("agent", f"expected an Agent or identified Group as JSON: {error}") from None
    if facets.agent_key(agent) is None:
        raise QueryError("agent", "a Group is asked for by its identifier: mbox, mbox_sha1sum, openid or account")
    return agent
