"""How often a log-in may fail, per account and per address: counted for all gateways together (shared_windows.py)."""

from ipaddress import IPv6Address, ip_address, ip_network

from limits import parse

from gateway.security.shared_windows import SharedWindows
from gateway.security.windows import Window

OF_ACCOUNT = parse("10/5 minutes")  # attempts; one that succeeds forgets them
OF_ADDRESS = parse("60/5 minutes")  # failures: a whole school may be behind one


class Attempts:
    """What strangers type is counted too; it is forgotten with its window, and an address brings OF_ADDRESS at most."""

    def __init__(self, shared: SharedWindows) -> None:
        """`shared` is started and stopped by whoever made it."""
        self._shared = shared

    async def begin(self, username: str, address: str) -> int | None:
        """None: go on. Else in how many milliseconds there may be room again. It counts before the password is looked
        at, so that many at once are not looked at together."""
        if (wait_ms := await self.begin_at(address)) is not None:
            return wait_ms
        of_account = _of_account(username)
        fits, (attempts,) = await self._shared.take([of_account], 1)
        return None if fits else attempts.wait_ms(of_account, 1)

    async def begin_at(self, address: str) -> int | None:
        """As `begin`, where the account is not known yet."""
        of_address = _of_address(address)
        _, (failures,) = await self._shared.take([of_address], 0)
        return None if failures.room(of_address) else failures.wait_ms(of_address, 1)

    async def failed(self, address: str) -> None:
        await self._shared.take([_of_address(address)], 1)

    async def succeeded(self, username: str) -> None:
        await self._shared.forget(_of_account(username))


def _of_account(username: str) -> Window:
    return Window("log-ins", username, OF_ACCOUNT)


def _of_address(address: str) -> Window:
    return Window("failed-log-ins", _network(address), OF_ADDRESS)


def _network(address: str) -> str:
    """One household or school has a whole /64 of IPv6."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((ip, 64), strict=False)) if isinstance(ip, IPv6Address) and not ip.ipv4_mapped else str(ip)
