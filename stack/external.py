"""Servers that somebody else runs: asked whether they answer, and otherwise left alone."""

import time
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from stack import answers
from stack.errors import StackError

WAIT_S = 30.0  # it may be starting too
_POLL_S = 0.3

_DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "postgresql": 5432, "postgres": 5432, "http": 80, "https": 443}


class External:
    """`address` holds no password: it is shown."""

    def __init__(self, name: str, address: str, answers_: Callable[[], bool]) -> None:
        self.name = name
        self.address = address
        self._answers = answers_

    def start(self, timeout_s: float = WAIT_S) -> None:
        """Blocks until it answers. Raises StackError where it does not within the time."""
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} does not answer at {self.address} (waited {timeout_s:g} s)",
                    advice=f"start it, correct its address, or leave the address out to get a {self.name} of your own",
                )
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Nothing: it is not ours."""


def kafka(bootstrap: str) -> External:
    """`host:port`, several separated by commas; one that answers is enough. Raises StackError."""
    where = [_host_port(_split("kafka", f"kafka://{address.strip()}")) for address in bootstrap.split(",")]
    return External("kafka", bootstrap, lambda: any(answers.kafka(*each) for each in where))


def valkey(url: str) -> External:
    """Raises StackError where it is no redis:// or rediss:// URL."""
    parts = _split("valkey", url, "redis", "rediss")
    host, port = _host_port(parts)
    plain = parts.scheme == "redis" and not parts.password
    ask = answers.redis if plain else answers.listening  # neither TLS nor passwords are spoken here
    return External("valkey", f"{host}:{port}", lambda: ask(host, port))


def postgres(url: str) -> External:
    """Raises StackError where it is no postgresql:// URL."""
    host, port = _host_port(_split("postgres", url, "postgresql", "postgres"))
    return External("postgres", f"{host}:{port}", lambda: answers.listening(host, port))


def influxd(url: str) -> External:
    """Raises StackError where it is no http:// or https:// URL."""
    host, port = _host_port(_split("influxd", url, "http", "https"))
    return External("influxd", f"{host}:{port}", lambda: answers.http_status(f"{url.rstrip('/')}/health", 5.0) == 200)


def _split(name: str, url: str, *schemes: str) -> SplitResult:
    expected = " or ".join(f"{scheme}://…" for scheme in schemes) or "host:port"
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and (parts.port is not None or bool(schemes))
    except ValueError:  # a port that is no number
        good = False
    if not good or (schemes and parts.scheme not in schemes):
        raise StackError(f"the address of {name} is not {expected}")  # not repeated: it may hold a password
    return parts


def _host_port(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
