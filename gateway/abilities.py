"""Degraded is not dead: what works with what, and what becomes of it meanwhile. The one place that says so. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.probes import Finding

KAFKA, POSTGRESQL, REDIS, HISTORY = "kafka", "postgresql", "redis", "history"
AGGREGATE, LIVE, HISTORIAN = "worker aggregate", "worker live", "worker history"


class Ability(NamedTuple):
    what: str
    needs: frozenset[str]  # names of checks
    meanwhile: str  # where one of them is missing


ABILITIES = (
    Ability(
        "events are accepted",
        frozenset({KAFKA}),
        "producers get 503 with Retry-After, or their events wait on the disk where there is a spool",
    ),
    Ability(
        "new keys and changes of the roster are known",
        frozenset({POSTGRESQL}),
        "keys and the roster go on as they were read last; a gateway that has not read them refuses events with 503",
    ),
    Ability("people log in", frozenset({POSTGRESQL}), "who is logged in stays so until his access token is over"),
    Ability(
        "events are counted",
        frozenset({KAFKA, AGGREGATE}),
        "what was accepted waits in Kafka, and counts when it is read; nothing is lost",
    ),
    Ability(
        "live values move",
        frozenset({KAFKA, AGGREGATE, LIVE, REDIS}),
        "pages keep the last values, say how old they are, and catch up by themselves",
    ),
    Ability("the overview is shown", frozenset({REDIS}), "it answers 503; open pages go on showing what they have"),
    Ability(
        "history is written",
        frozenset({KAFKA, AGGREGATE, HISTORIAN, HISTORY}),
        "it lags: what is to be written waits in Kafka, and is caught up",
    ),
    Ability("history is shown", frozenset({HISTORY}), "it answers 503"),
    Ability("all gateways count rates together", frozenset({REDIS}), "each gateway counts for itself"),
)


class Standing(NamedTuple):
    what: str
    works: bool
    because: list[str]  # what is missing
    meanwhile: str  # "" where it works


def missing(found: Mapping[str, Finding], idle: Mapping[str, str]) -> dict[str, str]:
    """Name → why. `idle`: the same of pipelines without a worker that works."""
    away = {name: finding.detail for name, finding in found.items() if not finding.up}
    return away | {f"worker {app}": why for app, why in idle.items()}


def standings(missing: Mapping[str, str]) -> list[Standing]:
    """`missing`: name → why. What is not known to be missing is there."""
    out = []
    for ability in ABILITIES:
        because = [f"{name}: {missing[name]}" for name in sorted(ability.needs & missing.keys())]
        out.append(Standing(ability.what, not because, because, ability.meanwhile if because else ""))
    return out
