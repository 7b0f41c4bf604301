"""Reading one statement: what the specification refuses is told with its place. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.ingest.xapi.shapes import (
    EXPECTED,
    IRI,
    TIME,
    VOIDED,
    Activity,
    Agent,
    Context,
    ContextActivities,
    Object,
    Result,
    Statement,
    StatementRef,
    SubStatement,
    Verb,
)
from wire import persons

T = TypeVar("T")

# Of verbs, of objects, of activities and of extensions' names so many each are remembered, and of people more; none
# larger than that.
KNOWN_MAX = 2_000
PEOPLE_MAX = 10_000
PART_BYTES = 2_048
STATEMENT_BYTES = 2 * PART_BYTES  # of a larger one nothing is remembered that is made of several of its parts


class StatementError(Exception):
    """What the specification refuses."""

    def __init__(self, field: str | None, reason: str) -> None:
        """`field`: its place, like `actor.mbox`; None: the statement as a whole."""
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class _Typed(msgspec.Struct):
    objectType: str = "Activity"  # noqa: N815


class _Result(Result):
    extensions: dict[str, Raw] | UnsetType = UNSET


class _Context(Context):
    contextActivities: Raw | UnsetType = UNSET  # type: ignore[assignment]  # noqa: N815
    extensions: dict[str, Raw] | UnsetType = UNSET


class _Statement(Statement):
    """As it is read: an LMS says the same people, verbs, objects, activities and names of extensions in thousands of
    statements; each is read once and then one object, which nobody changes."""

    actor: Raw  # type: ignore[assignment]
    verb: Raw  # type: ignore[assignment]
    result: _Result | UnsetType = UNSET
    context: _Context | UnsetType = UNSET


_iri = re.compile(IRI)
_statement = msgspec.json.Decoder(_Statement)
_typed = msgspec.json.Decoder(_Typed)
_agents = msgspec.json.Decoder(Agent)
_verbs, _related = msgspec.json.Decoder(Verb), msgspec.json.Decoder(ContextActivities)
_objects: dict[str, msgspec.json.Decoder[Any]] = {
    "Activity": msgspec.json.Decoder(Activity),
    "Agent": msgspec.json.Decoder(Agent),
    "Group": msgspec.json.Decoder(Agent),
    "StatementRef": msgspec.json.Decoder(StatementRef),
    "SubStatement": msgspec.json.Decoder(SubStatement),
}


def read(data: bytes | Raw, version: int) -> tuple[Statement, Object]:
    """With its object. `version`: 1 or 2. Raises StatementError."""
    statement: Statement = _decoded(_statement, data, "")
    statement.actor = _known(_read_actor, cast(Raw, statement.actor), "actor")
    statement.verb = _known(_read_verb, cast(Raw, statement.verb), "verb")
    if (result := statement.result) is not UNSET and result.extensions is not UNSET:
        _check_names(result.extensions, "result.extensions")
    if (context := statement.context) is not UNSET:
        if context.contextActivities is not UNSET:
            within = cast(Raw, context.contextActivities)
            context.contextActivities = _known(_read_activities, within, "context.contextActivities")
        if context.extensions is not UNSET:
            _check_names(context.extensions, "context.extensions")
    thing = _object(statement.object, "object")
    _check(statement, thing, version, "")
    if isinstance(thing, SubStatement):
        inner = _object(thing.object, "object.object")
        if isinstance(inner, SubStatement):
            raise StatementError("object.object", "a SubStatement holds no SubStatement")
        _check(thing, inner, version, "object.")
    elif statement.verb.id == VOIDED and not isinstance(thing, StatementRef):
        raise StatementError("object", "what voids a statement has a StatementRef to it")
    return statement, thing


def moment(text: str, field: str) -> datetime:
    """Without an offset it is UTC. Raises StatementError."""
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError as error:
        raise StatementError(field, f"expected {EXPECTED[TIME]}: {error}") from None


def inner(thing: SubStatement) -> Object:
    """The object of what `read` gave."""
    return _object(thing.object, "object.object")


def related(statement: Statement | SubStatement) -> ContextActivities | None:
    context = statement.context
    return None if context is UNSET or context.contextActivities is UNSET else context.contextActivities


def activities(related: ContextActivities | None) -> Iterator[Activity]:
    """The nearest first."""
    if related is None:
        return
    for each in (related.parent, related.grouping, related.other, related.category):
        if each is not UNSET:
            yield from each if isinstance(each, list) else (each,)


def person(agent: Agent) -> str:
    """His id in events, and so a group's."""
    if agent.account is not UNSET:
        return persons.of_name(agent.account.name)
    if agent.mbox is not UNSET:
        return persons.of_address(agent.mbox)
    if agent.mbox_sha1sum is not UNSET:
        return persons.of_address(agent.mbox_sha1sum)
    return persons.of_url(agent.openid or "")


def _object(data: Raw, place: str) -> Object:
    return _known(_read_object, data, place)


def _known(reading: "_lru_cache_wrapper[T]", data: Raw, place: str) -> T:
    """What is too large to be remembered is read each time."""
    part = bytes(data)
    return reading(part, place) if len(part) <= PART_BYTES else reading.__wrapped__(part, place)


@lru_cache(KNOWN_MAX)
def _read_object(data: bytes, place: str) -> Object:
    kind: str = _decoded(_typed, data, place).objectType
    if kind not in _objects:
        raise StatementError(f"{place}.objectType", f"expected one of {', '.join(_objects)}")
    thing: Object = _decoded(_objects[kind], data, place)
    return thing


@lru_cache(PEOPLE_MAX)
def _read_actor(data: bytes, place: str) -> Agent:
    found: Agent = _decoded(_agents, data, place)
    return found


@lru_cache(KNOWN_MAX)
def _read_verb(data: bytes, place: str) -> Verb:
    found: Verb = _decoded(_verbs, data, place)
    return found


@lru_cache(KNOWN_MAX)
def _read_activities(data: bytes, place: str) -> ContextActivities:
    found: ContextActivities = _decoded(_related, data, place)
    return found


_names: set[str] = set()  # of extensions, that were IRIs


def _check_names(extensions: Mapping[str, Raw], place: str) -> None:
    if extensions.keys() <= _names:
        return
    for name in extensions:
        if not _iri.match(name):
            raise StatementError(place, f"expected {EXPECTED[IRI]}")
        if len(_names) >= KNOWN_MAX:
            _names.clear()
        if len(name) <= PART_BYTES:
            _names.add(name)


def _check(statement: Statement | SubStatement, thing: Object, version: int, prefix: str) -> None:
    context = statement.context
    if context is not UNSET:
        if not isinstance(thing, Activity):
            for name in ("revision", "platform"):
                if getattr(context, name) is not UNSET:
                    raise StatementError(f"{prefix}context.{name}", "is there only where the object is an Activity")
        if version == 1 and (context.contextAgents is not UNSET or context.contextGroups is not UNSET):
            raise StatementError(f"{prefix}context", "contextAgents and contextGroups are of version 2.0")
    if statement.timestamp is not UNSET:
        moment(statement.timestamp, f"{prefix}timestamp")
    if isinstance(statement, Statement) and statement.stored is not UNSET:
        moment(statement.stored, "stored")


_AT = re.compile(r"(.*) - at `(.*)`", re.DOTALL)
_MATCHING = re.compile(r"Expected `str` matching regex '(.*)'", re.DOTALL)
_BY_REPR = {repr(pattern)[1:-1]: words for pattern, words in EXPECTED.items()} | EXPECTED


def _decoded(decoder: "msgspec.json.Decoder[Any]", data: bytes | Raw, place: str) -> Any:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _told(str(error), place) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise StatementError(place or None, "not JSON, half a surrogate pair, or not UTF-8") from None
    except RecursionError:
        raise StatementError(place or None, "nested too deep") from None


def _told(complaint: str, place: str) -> StatementError:
    """msgspec's complaint, its place as JSON has it and its regular expressions in words."""
    at = _AT.fullmatch(complaint)
    reason, path = at.groups() if at else (complaint, "")
    steps = path.rpartition("` in `")[2].replace("$.", "").replace("$", "").strip(".")  # also "key` in `$.verb.display"
    field = ".".join(filter(None, (place, steps))) or None
    if matching := _MATCHING.match(reason):
        reason = f"expected {_BY_REPR.get(matching[1], matching[1])}"
    return StatementError(field, reason)
