"""Ids of people whom a producer names by an e-mail address. Pure."""

import hashlib
import re

_SHA1 = re.compile(r"[0-9A-Fa-f]{40}")


def of_address(address: str) -> str:
    """The same for an address, `mailto:` before it, and its xAPI `mbox_sha1sum`, so that it does not matter which of
    them a producer sends. Never the address: names lie in PostgreSQL alone."""
    if not _SHA1.fullmatch(address):
        mailto = address if address.startswith("mailto:") else f"mailto:{address}"
        address = hashlib.sha1(mailto.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return _digest(address.lower())


def of_name(name: str) -> str:
    """An account's name as it is, unless it is an e-mail address."""
    return of_address(name) if "@" in name else name


def of_url(url: str) -> str:
    """Of an OpenID, which leads to whose it is."""
    return _digest(url)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
