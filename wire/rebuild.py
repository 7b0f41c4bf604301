"""What `classpulse rebuild` tells the process that does it: one argument, as JSON."""

import msgspec

from wire.metrics import ScopeText, TimeMs


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    from_ms: TimeMs  # event time: windows that begin before are left alone
    to_ms: TimeMs | None = None  # and those that end behind this; None: up to now
    scopes: list[ScopeText] = []  # none: all
    show: int = 20  # differences shown one by one, and lines of the table
    json: bool = False
    shadow: str = ""  # a file to keep what was computed in; "": it is kept nowhere
    why: str = ""  # of a replacement; "": nothing is replaced
    by: str = ""


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Order)


def decode(data: bytes | str) -> Order:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)
