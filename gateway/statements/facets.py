"""By what a statement is found: the agents, verb, activities and registration in it, hashed; and whose it is. Pure."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from msgspec import UNSET

from gateway.ingest.xapi import statement as statements
from gateway.ingest.xapi.shapes import Activity, Agent, Context, Object, Statement, SubStatement
from wire.events import ID_MAX, is_id


class Kind(StrEnum):
    """As the filter is called that asks by it."""

    AGENT = "agent"
    RELATED_AGENT = "related_agents"
    VERB = "verb"
    ACTIVITY = "activity"
    RELATED_ACTIVITY = "related_activities"
    REGISTRATION = "registration"


class Found(NamedTuple):
    facets: frozenset[bytes]
    students: frozenset[str]  # by the ids that their events have


def facet(kind: Kind, value: str) -> bytes:
    """16 bytes."""
    return blake2b(f"{kind}\n{value}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def agent_key(agent: Agent) -> str | None:
    """The same for agents that are equal. None: a Group without an identifier, which is equal to no other."""
    if agent.account is not UNSET:
        return f"account\n{agent.account.homePage}\n{agent.account.name}"
    if agent.mbox is not UNSET:
        return f"mbox\n{mbox(agent.mbox)}"
    if agent.mbox_sha1sum is not UNSET:
        return f"mbox_sha1sum\n{agent.mbox_sha1sum.lower()}"
    return None if agent.openid is UNSET else f"openid\n{agent.openid}"


def mbox(address: str) -> str:
    """Its domain in lower case: there case says nothing."""
    name, _, domain = address.rpartition("@")
    return f"{name}@{domain.lower()}"


def student(agent: Agent) -> str | None:
    """None where no event could be of him."""
    if agent.objectType == "Group":
        return None
    found = statements.person(agent)
    return found if len(found) <= ID_MAX and is_id(found) else None


def find(statement: Statement, thing: Object, authority: Agent) -> Found:
    inner = statements.inner(thing) if isinstance(thing, SubStatement) else None
    narrow = [statement.actor, *_agent(thing)]
    wide = [*narrow, *_of_context(statement)]
    activities = [*_activity(thing), *statements.activities(statements.related(statement))]
    if isinstance(thing, SubStatement) and inner is not None:
        wide += [thing.actor, *_agent(inner), *_of_context(thing)]
        activities += [*_activity(inner), *statements.activities(statements.related(thing))]
    facets = {facet(Kind.VERB, statement.verb.id)}
    facets |= set(_of_agents(Kind.AGENT, narrow)) | set(_of_agents(Kind.RELATED_AGENT, [*wide, authority]))
    facets |= {facet(Kind.ACTIVITY, activity.id) for activity in _activity(thing)}
    facets |= {facet(Kind.RELATED_ACTIVITY, activity.id) for activity in activities}
    context = statement.context
    if context is not UNSET and context.registration is not UNSET:
        facets.add(facet(Kind.REGISTRATION, str(context.registration)))
    people = (student(each) for agent in wide for each in with_members(agent))
    return Found(frozenset(facets), frozenset(each for each in people if each is not None))


def with_members(agent: Agent) -> Iterator[Agent]:
    yield agent
    if agent.member is not UNSET:
        yield from agent.member


def _of_agents(kind: Kind, agents: Iterable[Agent]) -> Iterator[bytes]:
    for agent in agents:
        for each in with_members(agent):
            if (key := agent_key(each)) is not None:
                yield facet(kind, key)


def _agent(thing: Object) -> tuple[Agent, ...]:
    return (thing,) if isinstance(thing, Agent) else ()


def _activity(thing: Object) -> tuple[Activity, ...]:
    return (thing,) if isinstance(thing, Activity) else ()


def _of_context(statement: Statement | SubStatement) -> Iterator[Agent]:
    context: Context | None = None if statement.context is UNSET else statement.context
    if context is None:
        return
    yield from (each for each in (context.instructor, context.team) if each is not UNSET)
    if context.contextAgents is not UNSET:
        yield from (each.agent for each in context.contextAgents)
    if context.contextGroups is not UNSET:
        yield from (each.group for each in context.contextGroups)
