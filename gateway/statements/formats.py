"""A kept statement in the formats of xAPI: `ids`, `exact`, `canonical`. Pure.

`exact` is as it came. `ids` is `exact` with no more of agents, verbs and activities than says which they are. What is
canonical of an activity or a verb is what its statement says of it, in one language: definitions are not gathered over
statements. Results and extensions stay bytes, so no number changes on its way.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType, structs

from gateway.ingest.xapi.shapes import (
    Activity,
    Agent,
    Component,
    Context,
    ContextActivities,
    Definition,
    LanguageMap,
    Verb,
)
from gateway.statements import languages


class Format(StrEnum):
    IDS = "ids"
    EXACT = "exact"
    CANONICAL = "canonical"


class _Typed(msgspec.Struct):
    objectType: str = "Activity"  # noqa: N815


class _Form(NamedTuple):
    agent: Callable[[Agent], Any]
    verb: Callable[[Verb], Any]
    activity: Callable[[Activity], Any]


_fields = msgspec.json.Decoder(dict[str, Raw])
_typed = msgspec.json.Decoder(_Typed)
_agent = msgspec.json.Decoder(Agent)
_verb = msgspec.json.Decoder(Verb)
_activity = msgspec.json.Decoder(Activity)
_context = msgspec.json.Decoder(Context)
_encode = msgspec.json.Encoder().encode


def formed(whole: bytes, wanted: Format, accepted: Sequence[str]) -> bytes:
    """`whole`: a statement as it is answered in `exact`. `accepted`: languages, the most wanted first."""
    if wanted is Format.EXACT:
        return whole
    form = _IDS if wanted is Format.IDS else _canonical(accepted)
    return _encode(_formed(_fields.decode(whole), form))


def _formed(fields: dict[str, Raw], form: _Form) -> dict[str, Any]:
    """Of a SubStatement too."""
    shown: dict[str, Any] = {
        **fields,
        "actor": form.agent(_agent.decode(fields["actor"])),
        "verb": form.verb(_verb.decode(fields["verb"])),
        "object": _object(fields["object"], form),
    }
    if "authority" in fields:
        shown["authority"] = form.agent(_agent.decode(fields["authority"]))
    if "context" in fields:
        shown["context"] = _of_context(_context.decode(fields["context"]), form)
    return shown


def _object(thing: Raw, form: _Form) -> Any:
    kind = _typed.decode(thing).objectType
    if kind == "SubStatement":
        return _formed(_fields.decode(thing), form)
    if kind == "Activity":
        return form.activity(_activity.decode(thing))
    return thing if kind == "StatementRef" else form.agent(_agent.decode(thing))


def _of_context(context: Context, form: _Form) -> dict[str, Any]:
    shown: dict[str, Any] = {
        name: value for name in context.__struct_fields__ if (value := getattr(context, name)) is not UNSET
    }
    for name in ("instructor", "team"):
        if name in shown:
            shown[name] = form.agent(shown[name])
    if context.contextActivities is not UNSET:
        shown["contextActivities"] = _related(context.contextActivities, form)
    if context.contextAgents is not UNSET:
        shown["contextAgents"] = [{**_shallow(each), "agent": form.agent(each.agent)} for each in context.contextAgents]
    if context.contextGroups is not UNSET:
        shown["contextGroups"] = [{**_shallow(each), "group": form.agent(each.group)} for each in context.contextGroups]
    return shown


def _related(related: ContextActivities, form: _Form) -> dict[str, Any]:
    shown = _shallow(related)
    return {
        name: [form.activity(each) for each in (value if isinstance(value, list) else [value])]
        for name, value in shown.items()
    }


def _shallow(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: value for name in struct.__struct_fields__ if (value := getattr(struct, name)) is not UNSET}


def _agent_ids(agent: Agent) -> dict[str, Any]:
    shown = {"objectType": agent.objectType, **_shallow(agent)}
    shown.pop("name", None)
    members = shown.pop("member", [])
    if len(shown) == 1:  # nothing else says which group it is
        shown["member"] = [_agent_ids(each) for each in members]
    return shown


_IDS = _Form(
    agent=_agent_ids,
    verb=lambda verb: {"id": verb.id},
    activity=lambda activity: {"objectType": "Activity", "id": activity.id},
)


def _canonical(accepted: Sequence[str]) -> _Form:
    def one(texts: LanguageMap | UnsetType) -> LanguageMap | UnsetType:
        return UNSET if texts is UNSET else languages.one_of(texts, accepted)

    def components(listed: list[Component] | UnsetType) -> list[Component] | UnsetType:
        if listed is UNSET:
            return UNSET
        return [structs.replace(each, description=one(each.description)) for each in listed]

    def definition(whole: Definition) -> Definition:
        return structs.replace(
            whole,
            name=one(whole.name),
            description=one(whole.description),
            choices=components(whole.choices),
            scale=components(whole.scale),
            source=components(whole.source),
            target=components(whole.target),
            steps=components(whole.steps),
        )

    def activity(whole: Activity) -> Any:
        if whole.definition is UNSET:
            return whole
        return structs.replace(whole, definition=definition(whole.definition))

    return _Form(
        agent=lambda agent: agent,
        verb=lambda verb: structs.replace(verb, display=one(verb.display)),
        activity=activity,
    )
