"""What answers tell browsers, each route's own and errors too."""

import pytest
import served

from gateway.security.headers import DEFAULTS, OVER_TLS


@pytest.mark.parametrize(
    "path", ["/livez", "/openapi.json", "/api/v1/auth/me", "/api/v1/admin/audit", "/api/v1/events", "/nothing/there"]
)
async def test_every_answer_is_for_no_frame_and_no_cache(path: str) -> None:
    async with served.gateway(served.settings()) as client:
        plain = await client.get(path)
        over_tls = await client.get(f"https://127.0.0.1:8000{path}")
    for name, value in DEFAULTS.items():
        assert plain.headers[name] == over_tls.headers[name] == value
    for name, value in OVER_TLS.items():
        assert name not in plain.headers
        assert over_tls.headers[name] == value


async def test_the_page_has_its_own_policy() -> None:
    async with served.gateway(served.settings()) as client:
        answer = await client.get("/")
    if answer.status_code == 503:
        pytest.skip("the page is not built")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-cache"
