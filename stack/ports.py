"""Free ports on the loopback address."""

import random
import socket

# Below the range the kernels give to outgoing connections (Linux 32768, macOS 49152): a server that is stopped finds
# its port free again, because no client was given it meanwhile.
FIRST, LAST = 20_000, 32_000
HOST = "127.0.0.1"

_given: set[int] = set()  # in this process, so that two services chosen for at once do not get the same


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
    """A port nobody listens on, and that was not given before. Raises OSError where there is none left."""
    for port in random.sample(range(FIRST, LAST), LAST - FIRST):
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free port between {FIRST} and {LAST} on {HOST}")
