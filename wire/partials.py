"""What one source partition knows of one scope: absolute sums, keyed by scope in the topic `partials`.

Additive: the sum over source partitions is the scope's truth, because a student lives in exactly one of them.
"""

import msgspec

PANE_S = 10  # the smallest step a window moves by; windows are sums of panes
DISTINCT_PANES = 30  # gaps are counted up to here, so distinct counts are exact for windows up to 5 minutes


class PaneCounts(msgspec.Struct, array_like=True):
    """What happened in one pane.

    `gaps[k]` counts the students active in this pane whose previous active pane lies k panes back, k capped at
    DISTINCT_PANES (which also stands for "never before"). A student is then counted by exactly one pane of any window
    of at most DISTINCT_PANES panes: the first one he is active in, the one whose gap reaches out of the window.
    """

    events: int = 0
    attempts: int = 0  # events that can fail
    failures: int = 0
    gaps: dict[int, int] = msgspec.field(default_factory=dict)


class Partial(msgspec.Struct, kw_only=True):
    """The newest values of the panes and days that changed. A pane not named has not changed."""

    scope: str
    partition: int  # of `activity`
    offset: int  # of the last event in it that these values hold
    event_time_ms: int  # the highest event time seen in that partition
    panes: dict[int, PaneCounts] = {}  # pane number (epoch seconds // PANE_S) → counts
    days: dict[int, dict[str, int]] = {}  # epoch day → kind → events
    help_open: int = 0  # students waiting for help now


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Partial)


def decode(data: bytes) -> Partial:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)
