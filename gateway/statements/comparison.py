"""Whether two statements with one id are the same, by the specification's rules of what may differ: what a store puts
in itself, displays of verbs, definitions of activities, the order of a group's members, and the case of what has none.
Pure."""

import hashlib
from typing import Any

import msgspec
from msgspec import Raw

from gateway.statements.facets import mbox

_PUT_IN = ("id", "stored", "authority", "version", "timestamp")  # when it happened is compared by itself
_AGENTS = ("instructor", "team")
_RELATED = ("parent", "grouping", "category", "other")

_encode = msgspec.json.Encoder(order="sorted").encode


def digest(data: bytes | Raw) -> bytes:
    """32 bytes of what must not differ. `data`: a statement that was found good."""
    try:
        content = _encode(_comparable(msgspec.json.decode(data)))
    except (msgspec.DecodeError, RecursionError):  # by what extensions hold, which nobody has looked into
        content = bytes(data)
    return hashlib.sha256(content).digest()


def _comparable(statement: dict[str, Any]) -> dict[str, Any]:
    """`statement` is changed for it."""
    for name in _PUT_IN:
        statement.pop(name, None)
    return _shared(statement)


def _shared(statement: dict[str, Any]) -> dict[str, Any]:
    """What a SubStatement has too."""
    statement["verb"].pop("display", None)
    _agent(statement["actor"])
    thing = statement["object"]
    kind = thing.get("objectType", "Activity")
    if kind == "SubStatement":
        _shared(thing)
    elif kind == "StatementRef":
        thing["id"] = thing["id"].lower()
    elif kind == "Activity":
        thing.pop("definition", None)
    else:
        _agent(thing)
    if "context" in statement:
        _context(statement["context"])
    return statement


def _context(context: dict[str, Any]) -> None:
    if "registration" in context:
        context["registration"] = context["registration"].lower()
    if "statement" in context:
        context["statement"]["id"] = context["statement"]["id"].lower()
    for name in _AGENTS:
        if name in context:
            _agent(context[name])
    for each in context.get("contextAgents", ()):
        _agent(each["agent"])
    for each in context.get("contextGroups", ()):
        _agent(each["group"])
    related = context.get("contextActivities", {})
    for name in _RELATED:
        if name in related:
            listed = related[name] if isinstance(related[name], list) else [related[name]]
            for activity in listed:
                activity.pop("definition", None)
            related[name] = listed


def _agent(agent: dict[str, Any]) -> None:
    if "mbox" in agent:
        agent["mbox"] = mbox(agent["mbox"])
    if "mbox_sha1sum" in agent:
        agent["mbox_sha1sum"] = agent["mbox_sha1sum"].lower()
    if "member" in agent:
        for each in agent["member"]:
            _agent(each)
        agent["member"].sort(key=_encode)
