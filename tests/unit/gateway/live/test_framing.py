"""Ready-made frames are what a client of the RFC reads."""

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from gateway.live import framing

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_a_text_frame_is_read_as_one(size: int) -> None:
    reader = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN)
    payloads = [b"x" * size, b"next"]
    reader.receive_data(b"".join(map(framing.text, payloads)))
    read = [event for event in reader.events_received() if isinstance(event, Frame)]
    assert [(frame.opcode, frame.fin, frame.data) for frame in read] == [(Opcode.TEXT, True, each) for each in payloads]


def test_what_was_joined_is_told_apart() -> None:
    payloads = [b"x" * size for size in SIZES]
    assert list(framing.payloads(b"".join(map(framing.text, payloads)))) == payloads
