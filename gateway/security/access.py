"""From where, and by which page, the dashboard may be asked. Who asks: `gate`."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from gateway.security.limits import address

ANY = "*"


class DashboardAccess:
    """`local`: the client's address is this machine's.

    In every mode we must be called by a name of ours, because a stranger's page, in the browser of somebody who may
    look, can give itself a name that leads here (DNS rebinding). And what a page asks for, and browsers say so by an
    `Origin`, must be asked by our own page: a WebSocket is not held back by the browser's same-origin policy.
    """

    def __init__(self, mode: Literal["local", "open", "accounts"], hosts: Iterable[str]) -> None:
        """`hosts`: our names, without ports; ANY: whatever we are called."""
        self._mode = mode
        self._hosts = frozenset(host.lower() for host in hosts)

    def refusal(self, connection: HTTPConnection) -> str | None:
        """Why this request or WebSocket gets nothing; None where it may."""
        host = connection.headers.get("host", "")
        if self._mode == "local" and not _is_loopback(address(connection)):
            return "the dashboard is open to this machine only (CLASSPULSE_DASHBOARD_ACCESS=local)"
        if ANY not in self._hosts and _name(host) not in self._hosts:
            return f"the dashboard is not called {host!r} (CLASSPULSE_DASHBOARD_HOSTS has its names)"
        origin = connection.headers.get("origin")
        if origin is not None and _authority(origin) != host.lower():
            return f"a page of {origin!r} may not ask {host!r}"
        return None


def _is_loopback(address: str) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def _name(host: str) -> str:
    """The host header without its port; "" where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
