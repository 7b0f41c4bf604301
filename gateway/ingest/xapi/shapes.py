"""The shapes of a statement as xAPI 1.0.3 and 2.0 (IEEE 9274.1.1) have it: they refuse whatever the specification
refuses.

Unknown properties and nulls are refused everywhere but in extensions, which are not looked into. `object` stays bytes
at first: its `objectType` says of which shape it is, and may be absent, which a tagged union cannot have.
"""

import uuid
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from wire import xapi

VOIDED = "http://adlnet.gov/expapi/verbs/voided"

IRI = r'^[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20\x7f<>"{}|\\^`]+\Z'  # RFC 3987's characters, with its scheme
LANGUAGE = r"^[A-Za-z]{1,8}([-_][A-Za-z0-9]{1,8})*\Z"  # RFC 5646; `_` too, as Moodle names its languages
MBOX = r"^mailto:[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\Z"
SHA1 = r"^[0-9A-Fa-f]{40}\Z"
SHA2 = r"^[0-9A-Fa-f]{56,128}\Z"
TIME = r"^[0-9]{4}-?[0-9]{2}-?[0-9]{2}[Tt ][0-9]{2}(?!.*-00(?::?00)?\Z).*\Z"  # fromisoformat says the rest
VERSION = r"^[12]\.0(\.[0-9]+)?\Z"

EXPECTED = {
    IRI: "an IRI with its scheme",
    LANGUAGE: "a language tag, like en or pt-BR",
    MBOX: "mailto: and an e-mail address",
    SHA1: "40 hexadecimal digits",
    SHA2: "56 to 128 hexadecimal digits",
    TIME: "an ISO 8601 time whose offset is not -00:00",
    VERSION: "1.0.x or 2.0.x",
    xapi.DURATION: "an ISO 8601 duration, like PT1M30S",
}

Iri = Annotated[str, Meta(pattern=IRI)]
Language = Annotated[str, Meta(max_length=64, pattern=LANGUAGE)]
Time = Annotated[str, Meta(max_length=64, pattern=TIME)]
LanguageMap = dict[Language, str]
Extensions = dict[Iri, Raw]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Of each other shape here."""


class Account(_Strict):
    homePage: Iri  # noqa: N815 - as on the wire, here and below
    name: Annotated[str, Meta(min_length=1)]


class Agent(_Strict):
    """A Group too, as it may stand wherever an Agent may; `objectType` tells."""

    objectType: Literal["Agent", "Group"] = "Agent"  # noqa: N815
    name: str | UnsetType = UNSET
    mbox: Annotated[str, Meta(pattern=MBOX)] | UnsetType = UNSET
    mbox_sha1sum: Annotated[str, Meta(pattern=SHA1)] | UnsetType = UNSET
    openid: Iri | UnsetType = UNSET
    account: Account | UnsetType = UNSET
    member: list["Agent"] | UnsetType = UNSET

    def __post_init__(self) -> None:
        named = 4 - (self.mbox, self.mbox_sha1sum, self.openid, self.account).count(UNSET)
        if self.objectType == "Agent":
            if self.member is not UNSET:
                raise ValueError("`member` is of a Group, not of an Agent")
            if named != 1:
                raise ValueError(f"expected exactly one of mbox, mbox_sha1sum, openid and account, got {named}")
            return
        if named > 1:
            raise ValueError(f"expected at most one of mbox, mbox_sha1sum, openid and account, got {named}")
        if named == 0 and not self.member:
            raise ValueError("a Group without mbox, mbox_sha1sum, openid or account has a `member`")
        if self.member and any(each.objectType == "Group" for each in self.member):
            raise ValueError("a Group is no member of a Group")


class Verb(_Strict):
    id: Iri
    display: LanguageMap | UnsetType = UNSET


class Component(_Strict):
    """One of the choices, steps, … of an interaction."""

    id: str
    description: LanguageMap | UnsetType = UNSET


_INTERACTIONS = (
    "true-false", "choice", "fill-in", "long-fill-in", "matching", "performance", "sequencing", "likert", "numeric",
    "other",
)  # fmt: skip


class Definition(_Strict):
    name: LanguageMap | UnsetType = UNSET
    description: LanguageMap | UnsetType = UNSET
    type: Iri | UnsetType = UNSET
    moreInfo: Iri | UnsetType = UNSET  # noqa: N815
    extensions: Extensions | UnsetType = UNSET
    interactionType: Literal[_INTERACTIONS] | UnsetType = UNSET  # type: ignore[valid-type]  # noqa: N815
    correctResponsesPattern: list[str] | UnsetType = UNSET  # noqa: N815
    choices: list[Component] | UnsetType = UNSET
    scale: list[Component] | UnsetType = UNSET
    source: list[Component] | UnsetType = UNSET
    target: list[Component] | UnsetType = UNSET
    steps: list[Component] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.interactionType is UNSET:
            if self.correctResponsesPattern is not UNSET or self._components():
                raise ValueError("`interactionType` is missing, which its other properties need")
            return
        for components in self._components():
            if len({each.id for each in components}) < len(components):
                raise ValueError("two components have the same `id`")

    def _components(self) -> list[Sequence[Component]]:
        listed = (self.choices, self.scale, self.source, self.target, self.steps)
        return [each for each in listed if each is not UNSET]


class Activity(_Strict, eq=False):  # like ContextActivities a key by what it is, not by what it holds
    id: Iri
    objectType: Literal["Activity"] = "Activity"  # noqa: N815
    definition: Definition | UnsetType = UNSET


class StatementRef(_Strict):
    id: uuid.UUID
    objectType: Literal["StatementRef"]  # noqa: N815


class Score(_Strict):
    scaled: Annotated[float, Meta(ge=-1, le=1)] | UnsetType = UNSET
    raw: float | UnsetType = UNSET
    min: float | UnsetType = UNSET
    max: float | UnsetType = UNSET

    def __post_init__(self) -> None:
        low = -float("inf") if self.min is UNSET else self.min
        high = float("inf") if self.max is UNSET else self.max
        if low >= high:
            raise ValueError("`min` is not less than `max`")
        if self.raw is not UNSET and not low <= self.raw <= high:
            raise ValueError("`raw` is not between `min` and `max`")


class Result(_Strict):
    score: Score | UnsetType = UNSET
    success: bool | UnsetType = UNSET
    completion: bool | UnsetType = UNSET
    response: str | UnsetType = UNSET
    duration: Annotated[str, Meta(max_length=xapi.DURATION_MAX, pattern=xapi.DURATION)] | UnsetType = UNSET
    extensions: Extensions | UnsetType = UNSET


class ContextActivities(_Strict, eq=False):
    """Before 1.0.3 a single activity was not in a list."""

    parent: list[Activity] | Activity | UnsetType = UNSET
    grouping: list[Activity] | Activity | UnsetType = UNSET
    category: list[Activity] | Activity | UnsetType = UNSET
    other: list[Activity] | Activity | UnsetType = UNSET


class ContextAgent(_Strict):
    objectType: Literal["contextAgent"]  # noqa: N815
    agent: Agent
    relevantTypes: list[Iri] | UnsetType = UNSET  # noqa: N815


class ContextGroup(_Strict):
    objectType: Literal["contextGroup"]  # noqa: N815
    group: Agent
    relevantTypes: list[Iri] | UnsetType = UNSET  # noqa: N815


class Context(_Strict):
    registration: uuid.UUID | UnsetType = UNSET
    instructor: Agent | UnsetType = UNSET
    team: Agent | UnsetType = UNSET
    contextActivities: ContextActivities | UnsetType = UNSET  # noqa: N815
    revision: str | UnsetType = UNSET
    platform: str | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    statement: StatementRef | UnsetType = UNSET
    extensions: Extensions | UnsetType = UNSET
    contextAgents: list[ContextAgent] | UnsetType = UNSET  # noqa: N815 - it and the next since 2.0
    contextGroups: list[ContextGroup] | UnsetType = UNSET  # noqa: N815

    def __post_init__(self) -> None:
        if self.team is not UNSET and self.team.objectType != "Group":
            raise ValueError("`team` is a Group")


class Attachment(_Strict):
    usageType: Iri  # noqa: N815
    display: LanguageMap
    contentType: str  # noqa: N815
    length: Annotated[int, Meta(ge=0)]
    sha2: Annotated[str, Meta(pattern=SHA2)]
    description: LanguageMap | UnsetType = UNSET
    fileUrl: Iri | UnsetType = UNSET  # noqa: N815

    def __post_init__(self) -> None:
        if self.fileUrl is UNSET:
            raise ValueError("attachments are not taken here: only one that lies elsewhere, at its `fileUrl`")


class SubStatement(_Strict):
    objectType: Literal["SubStatement"]  # noqa: N815
    actor: Agent
    verb: Verb
    object: Raw
    result: Result | UnsetType = UNSET
    context: Context | UnsetType = UNSET
    timestamp: Time | UnsetType = UNSET
    attachments: list[Attachment] | UnsetType = UNSET


class Statement(_Strict):
    actor: Agent
    verb: Verb
    object: Raw
    id: uuid.UUID | UnsetType = UNSET
    result: Result | UnsetType = UNSET
    context: Context | UnsetType = UNSET
    timestamp: Time | UnsetType = UNSET
    stored: Time | UnsetType = UNSET  # ours to say, where it is kept
    authority: Agent | UnsetType = UNSET  # likewise
    version: Annotated[str, Meta(pattern=VERSION)] | UnsetType = UNSET
    attachments: list[Attachment] | UnsetType = UNSET


Object = Activity | Agent | StatementRef | SubStatement
