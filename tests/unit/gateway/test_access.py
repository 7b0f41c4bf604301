from typing import Literal

import pytest
from starlette.requests import HTTPConnection

from gateway.security.access import DashboardAccess

HOSTS = ("localhost", "127.0.0.1", "::1")
LOCAL = DashboardAccess("local", HOSTS)
OPEN = DashboardAccess("open", HOSTS)


def connection(
    address: str | None = "127.0.0.1", host: str = "localhost:8000", origin: str | None = None
) -> HTTPConnection:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return HTTPConnection(
        {"type": "http", "headers": headers, "client": None if address is None else (address, 50_000)}
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:8000"])
def test_this_machine_may_look(address: str, host: str) -> None:
    assert LOCAL.refusal(connection(address, host)) is None


@pytest.mark.parametrize("address", ["192.168.1.7", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "", "nobody", None])
def test_another_machine_may_not(address: str | None) -> None:
    assert "this machine only" in (LOCAL.refusal(connection(address)) or "")
    assert OPEN.refusal(connection(address)) is None


@pytest.mark.parametrize("access", [LOCAL, OPEN])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "[::1", "127.0.0.1.evil"]
)
def test_a_strange_name_that_leads_here_may_not(access: DashboardAccess, host: str) -> None:
    """DNS rebinding: the browser may look, the page is not ours."""
    assert "is not called" in (access.refusal(connection(host=host, origin=f"http://{host}")) or "")


@pytest.mark.parametrize("mode", ["local", "open", "accounts"])
def test_a_name_that_was_set_may(mode: Literal["local", "open", "accounts"]) -> None:
    access = DashboardAccess(mode, ["ClassPulse.example"])
    assert access.refusal(connection(host="classpulse.EXAMPLE:443")) is None
    assert "is not called" in (access.refusal(connection(host="localhost")) or "")
    assert DashboardAccess(mode, ["*"]).refusal(connection(host="whatever.example")) is None


@pytest.mark.parametrize("access", [LOCAL, OPEN])
@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:9000", "null", "", "http://[::1"])
def test_another_sites_page_may_not(access: DashboardAccess, origin: str) -> None:
    assert "may not ask" in (access.refusal(connection(origin=origin)) or "")


@pytest.mark.parametrize("access", [LOCAL, OPEN])
@pytest.mark.parametrize("origin", ["http://localhost:8000", "https://LOCALHOST:8000"])
def test_our_own_page_may(access: DashboardAccess, origin: str) -> None:
    assert access.refusal(connection(origin=origin)) is None
