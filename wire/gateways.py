"""How a process of the gateway says that it lives: a member of the sorted set `channels.GATEWAYS`, by Redis's clock."""

import msgspec

HEARTBEAT_S = 2.0


class Sibling(msgspec.Struct, frozen=True):
    id: str  # of this start of this process
    host: str
    pid: int


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Sibling)


def decode(data: bytes | str) -> Sibling:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)
