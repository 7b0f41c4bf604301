"""Rate limits as the API tells them: what is allowed, who counts, and who has used up what he may. Pure."""

from collections.abc import Sequence
from typing import Annotated, Literal

from limits import RateLimitItem, parse_many
from pydantic import BaseModel, Field

from gateway.security.limits import STRANGERS, Rates
from gateway.security.windows import Window


class PolicyView(BaseModel):
    policy: Annotated[str, Field(examples=["reads"])]
    of: Annotated[str, Field(description="whose count it is", examples=["an address"])]
    counts: Annotated[Literal["events", "requests"], Field(description="what")]
    amount: int
    period_s: int
    shared: Annotated[bool, Field(description="counted for all gateways together, when Redis is there")]


class FullView(BaseModel):
    policy: str
    of: Annotated[str, Field(description="an address, or `key:NAME`, or who is logged in", examples=["127.0.0.1"])]
    amount: int
    period_s: int
    wait_s: Annotated[float, Field(description="until there may be room for one again")]


class RateLimitStatus(BaseModel):
    shared: Annotated[bool, Field(description="false: each gateway counts for itself")]
    away: Annotated[str, Field(description='why; "": they count together', examples=[""])]
    policies: list[PolicyView]
    full: Annotated[
        list[FullView],
        Field(description="who is at a limit now, as this process has found, who must wait longest first"),
    ]
    full_total: Annotated[int, Field(description="how many that are")]
    next: Annotated[str | None, Field(description="`after` of the next page of `full`; null: this is the last")]


_OF = {
    "events": "an API key without a rate of its own",
    "events_per_address": "an address",
    "reads": "an address",
    "reads_per_user": "a user",
    "handshakes": "an address",
}


def policies(rates: Rates) -> list[PolicyView]:
    found = [
        _policy(name.replace("_", "-"), _OF[name], rate, shared=True)
        for name, text in rates._asdict().items()
        for rate in parse_many(text)
    ]
    return [*found, _policy("unknown-keys", "an address", STRANGERS, shared=False)]


def _policy(name: str, of: str, rate: RateLimitItem, *, shared: bool) -> PolicyView:
    counts: Literal["events", "requests"] = "events" if name.startswith("events") else "requests"
    return PolicyView(policy=name, of=of, counts=counts, amount=rate.amount, period_s=rate.get_expiry(), shared=shared)


def view(
    rates: Rates, away: str | None, page: Sequence[tuple[Window, int]], total: int, next_: str | None
) -> RateLimitStatus:
    """`page`: of the windows that are full, with the ms until they are not."""
    return RateLimitStatus(
        shared=away is None,
        away=away or "",
        policies=policies(rates),
        full=[
            FullView(
                policy=window.policy,
                of=window.of,
                amount=window.amount,
                period_s=window.period_ms // 1_000,
                wait_s=wait_ms / 1_000,
            )
            for window, wait_ms in page
        ],
        full_total=total,
        next=next_,
    )
