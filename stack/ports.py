"""Free ports on the loopback address."""

import random
import socket

# Below the range the kernels give to outgoing connections (Linux 32768, macOS 49152): a server that is stopped finds
# its port free again, because no client was given it meanwhile.
FIRST, LAST = 20_000, 32_000
HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no hindrance
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free() -> int:
    """A port nobody listens on, and no process that still runs was given. Raises OSError where there is none left."""
    for port in random.sample(range(FIRST, LAST), LAST - FIRST):
        if is_free(port) and _claim(port):
            return port
    raise OSError(f"no free port between {FIRST} and {LAST} on {HOST}")


def _claim(port: int) -> bool:
    """Takes the UDP port of the same number until this process ends: its server listens only later, and stops between
    two starts, and whoever chooses meanwhile, here or in another process, is to choose another."""
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind((HOST, port))
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True
