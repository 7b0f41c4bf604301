"""How often a log-in may fail, per account and per address. Counted in memory: each process counts for itself."""

import time
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

OF_ACCOUNT = parse("10/5 minutes")  # attempts; one that succeeds forgets them
OF_ADDRESS = parse("60/5 minutes")  # failures: a whole school may be behind one


class Attempts:
    """What strangers type is counted too; it is forgotten with its window, and an address brings OF_ADDRESS at most."""

    def __init__(self) -> None:
        self._counts = FixedWindowRateLimiter(MemoryStorage())

    def begin(self, username: str, address: str) -> int | None:
        """None: go on. Else in how many milliseconds the count begins anew. It counts before the password is looked
        at, so that many at once are not looked at together."""
        for limit, of in ((OF_ADDRESS, _network(address)), (OF_ACCOUNT, username)):
            if not self._counts.test(limit, of):
                return self._reset_ms(limit, of)
        self._counts.hit(OF_ACCOUNT, username)
        return None

    def begin_at(self, address: str) -> int | None:
        """As `begin`, where the account is not known yet."""
        whose = _network(address)
        return None if self._counts.test(OF_ADDRESS, whose) else self._reset_ms(OF_ADDRESS, whose)

    def failed(self, address: str) -> None:
        self._counts.hit(OF_ADDRESS, _network(address))

    def succeeded(self, username: str) -> None:
        self._counts.clear(OF_ACCOUNT, username)

    def _reset_ms(self, limit: RateLimitItem, of: str) -> int:
        return int(1_000 * (self._counts.get_window_stats(limit, of).reset_time - time.time()))


def _network(address: str) -> str:
    """One household or school has a whole /64 of IPv6."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((ip, 64), strict=False)) if isinstance(ip, IPv6Address) and not ip.ipv4_mapped else str(ip)
