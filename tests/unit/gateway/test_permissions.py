"""The table of who may call what, held against the app and against its page."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from gateway.app import create_app
from gateway.live import endpoint
from gateway.security.gate import Gate
from gateway.security.permissions import TABLE, Check, Rule
from gateway.security.principal import Role
from gateway.settings import GatewaySettings

PAGE = Path(__file__).parents[3] / "docs" / "security.md"
COLUMNS = (Role.VIEWER, Role.TEACHER, Role.ADMIN, Role.SRE, Role.STUDENT, Role.PRODUCER)
# The ways in ask for the key by themselves: with the body half read they still answer in the door's own words.
BY_ITSELF = {
    *("POST /api/v1/events", "POST /xapi/statements", "PUT /xapi/statements"),
    *("POST /ingest/jupyter", "POST /ingest/caliper"),
    *(f"{method} /xapi/{{resource}}" for method in ("GET", "POST", "PUT", "DELETE")),
}


@pytest.fixture(scope="module")
def routes() -> list[Route | APIRoute]:
    return list(_all(create_app(GatewaySettings(xapi_store=True)).routes))


def _all(routes: Iterable[BaseRoute]) -> Iterator[Route | APIRoute]:
    for route in routes:
        if isinstance(route, Route | APIRoute):
            yield route
        else:  # what FastAPI keeps of `include_router`
            yield from _all(getattr(route, "original_router").routes)  # noqa: B009 -- its class has no public name


def _names(routes: Iterable[Route | APIRoute]) -> Iterator[tuple[str, Route | APIRoute]]:
    for route in routes:
        for method in (route.methods or set()) - {"HEAD"}:
            yield f"{method} {route.path_format}", route


def _gated(dependant: Dependant) -> bool:
    return isinstance(dependant.call, Gate) or any(map(_gated, dependant.dependencies))


def test_every_route_is_in_the_table_and_no_other(routes: list[Route | APIRoute]) -> None:
    page = {"GET /", "GET /{file}", "GET /assets/{file}"}  # the last two are there once it is built
    assert {name for name, _ in _names(routes)} | page | {endpoint.ROUTE} == set(TABLE)


def test_every_route_that_is_not_for_anybody_asks_the_gate(routes: list[Route | APIRoute]) -> None:
    for name, route in _names(routes):
        rule = TABLE[name]
        if rule != Rule(None, Check.NONE) and name not in BY_ITSELF:
            assert isinstance(route, APIRoute), name
            assert _gated(route.dependant), name


def test_nobody_but_producers_sends_and_producers_see_nothing() -> None:
    assert {name for name, rule in TABLE.items() if rule.roles and Role.PRODUCER in rule.roles} == BY_ITSELF
    assert {TABLE[name].roles for name in BY_ITSELF} == {frozenset({Role.PRODUCER})}


def test_what_a_viewer_asks_for_is_always_looked_at() -> None:
    for name, rule in TABLE.items():
        if rule.roles and Role.VIEWER in rule.roles:
            assert rule.check is not Check.NONE or name == "GET /api/v1/auth/me"


def _row(name: str, rule: Rule) -> str:
    cells = ["yes" if rule.roles is None or role in rule.roles else "" for role in COLUMNS]
    return " | ".join([f"| `{name}`", *cells, f"{rule.check} |"])


def test_the_page_shows_the_table() -> None:
    lines = PAGE.read_text().splitlines()
    first = lines.index("| route | viewer | teacher | admin | sre | student | producer | and |") + 2
    shown = lines[first : lines.index("", first)]
    files = {"GET /", "GET /{file}", "GET /assets/{file}", "GET /openapi.json"}
    assert shown == [_row(name, rule) for name, rule in TABLE.items() if name not in files]
