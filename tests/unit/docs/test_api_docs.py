"""Each route has its row in docs/api.md, and each row is about one that is; OpenAPI shows how each is asked."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.settings import GatewaySettings

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
NOT_IN_OPENAPI = {"WS /ws/live", "GET /openapi.json"}


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return create_app(GatewaySettings(xapi_store=True)).openapi()


def test_every_route_has_its_row_and_no_other_is_told(openapi: dict[str, Any]) -> None:
    routes = {f"{method.upper()} {path}" for path, methods in openapi["paths"].items() for method in methods}
    assert set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", PAGE.read_text(), re.MULTILINE)) == routes | NOT_IN_OPENAPI


def test_every_operation_says_what_it_does_and_how_it_is_asked(openapi: dict[str, Any]) -> None:
    for path, methods in openapi["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            for parameter in operation.get("parameters", []):
                assert parameter["schema"].get("examples") or "default" in parameter["schema"], (
                    path,
                    parameter["name"],
                )
            if body := operation.get("requestBody"):
                assert all(content["examples"] for content in body["content"].values()), path


def test_errors_of_the_api_are_described(openapi: dict[str, Any]) -> None:
    for path, methods in openapi["paths"].items():
        for operation in methods.values():
            answers = set(operation["responses"])
            assert "422" not in answers or "problem+json" in str(operation["responses"]["422"]), path
            if path.startswith("/api/") and path != "/api/v1/health":
                assert {"403", "429", "503"} & answers, path
