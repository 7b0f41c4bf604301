"""Who may see the dashboard and what it shows. There are no log-ins yet: it is this machine's people, or everybody."""

from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.requests import HTTPConnection

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class DashboardAccess:
    """`local`: the client's address is this machine's, and so is the name it called us by. The second, because a
    stranger's page in a browser here can give itself a name that leads to 127.0.0.1 (DNS rebinding).

    In either mode, what a page asks for, and browsers say so by an `Origin`, must be asked by our own page: a WebSocket
    is not held back by the browser's same-origin policy.
    """

    def __init__(self, mode: Literal["local", "open"]) -> None:
        self._mode = mode

    def refusal(self, connection: HTTPConnection) -> str | None:
        """Why this request or WebSocket gets nothing; None where it may."""
        host = connection.headers.get("host", "")
        if self._mode == "local":
            if not _is_loopback(connection.client.host if connection.client else ""):
                return "the dashboard is open to this machine only (CLASSPULSE_DASHBOARD_ACCESS=local)"
            if _name(host) not in LOCAL_HOSTS:
                return (
                    f"the dashboard is called localhost or 127.0.0.1, not {host!r} (CLASSPULSE_DASHBOARD_ACCESS=local)"
                )
        origin = connection.headers.get("origin")
        if origin is not None and _authority(origin) != host.lower():
            return f"a page of {origin!r} may not ask {host!r}"
        return None

    async def __call__(self, connection: HTTPConnection) -> None:
        """As a dependency of a route. Raises HTTPException 403."""
        if (reason := self.refusal(connection)) is not None:
            raise HTTPException(403, reason)


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
