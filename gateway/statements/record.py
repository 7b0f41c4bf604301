"""What is kept of a statement: itself, as it came, and by what it is found. Pure."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw

from gateway.ingest.xapi import statement as statements
from gateway.ingest.xapi.adapter import Read
from gateway.ingest.xapi.shapes import Account, Agent, StatementRef, SubStatement
from gateway.statements import comparison, facets

HOME = "https://classpulse.invalid/keys"  # of authorities: a URL, as the specification wants it, that is nobody's
DATA_MODELS = {1: "1.0.0", 2: "2.0.0"}  # `version` of a statement that says none
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_RELATED = ("parent", "grouping", "category", "other")

_fields = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


class Record(NamedTuple):
    id: uuid.UUID
    body: bytes  # as it came, but for `id`, `authority` and `version`; `whole` adds the rest
    happened_us: int | None  # epoch; None: it does not say so
    digest: bytes
    found_by: frozenset[bytes]
    students: frozenset[str]
    refers: uuid.UUID | None  # the statement that is its object
    voids: bool


def record(read: Read, version: int, source: str) -> Record:
    """`version`: 1 or 2, of the request. `source`: the name of the key by which it came."""
    authority = Agent(account=Account(HOME, source))
    found = facets.find(read.statement, read.thing, authority)
    said = read.statement.timestamp
    return Record(
        id=read.id,
        body=_body(read, version, authority),
        happened_us=None if said is UNSET else (statements.moment(said, "timestamp") - _EPOCH) // _US,
        digest=comparison.digest(read.data),
        found_by=found.facets,
        students=found.students,
        refers=read.thing.id if isinstance(read.thing, StatementRef) else None,
        voids=read.voids,
    )


def whole(body: bytes, stored: datetime, happened_us: int | None) -> bytes:
    """The statement as it is answered."""
    said = f'"{moment(stored)}"'
    timestamp = f',"timestamp":{said}' if happened_us is None else ""
    return b"".join((body[:-1], f',"stored":{said}{timestamp}}}'.encode()))


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _body(read: Read, version: int, authority: Agent) -> bytes:
    came = _fields.decode(read.data)
    for name in ("id", "stored", "authority"):
        came.pop(name, None)
    if isinstance(read.thing, SubStatement):
        thing = _fields.decode(came["object"])
        came["object"] = Raw(_encode(_in_lists(thing)))
    fields = {"id": read.id, **_in_lists(came), "authority": {"objectType": "Agent", **msgspec.to_builtins(authority)}}
    return _encode({**fields, "version": came.get("version", DATA_MODELS[version])})


def _in_lists(fields: dict[str, Raw]) -> dict[str, Raw]:
    """Its context activities: they are answered so, also where a single one came by itself."""
    if "context" not in fields:
        return fields
    context = _fields.decode(fields["context"])
    if "contextActivities" not in context:
        return fields
    related = _fields.decode(context["contextActivities"])
    alone = [name for name in _RELATED if name in related and not bytes(related[name]).lstrip().startswith(b"[")]
    if not alone:
        return fields
    for name in alone:
        related[name] = Raw(b"[%b]" % bytes(related[name]))
    context["contextActivities"] = Raw(_encode(related))
    return {**fields, "context": Raw(_encode(context))}
