"""How a worker says that it lives: written to Redis every HEARTBEAT_S under `channels.worker`."""

import msgspec


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    worker_id: str
    app: str  # aggregate, live, history
    version: str
    pid: int
    web_port: int  # serves /livez, /startupz, /readyz and /metrics
    started_at_ms: int
    sent_at_ms: int
    partitions: dict[str, list[int]]  # topic → partitions it holds
    events_handled: int  # records since it started
    last_progress_ms: int | None  # when it last finished a record; None: never
    lag_records: int  # records fetched by nobody yet, over its partitions
    loop_lag_ms: float  # how late its event loop woke, at worst since the heartbeat before
    ready: bool
    reason: str  # why it is not ready; "" when it is
    loop_lag_worst_ms: float = 0.0  # of the last minute
    batch_for_ms: int | None = None  # how long its oldest batch has been under way; None: none is
    held_by: str = ""  # the store that is away, and what it says; its topic is held until it is back
    paused: str = ""  # by whom, since when, until when and why it takes no further batch


# What a worker ends with, beside 0. Whoever started it starts it again, and may say why it was.
EXIT_BATCH_FAILED = 70  # sysexits' EX_SOFTWARE
EXIT_LOOP_BLOCKED = 75  # EX_TEMPFAIL
EXITS = {
    EXIT_BATCH_FAILED: "a batch failed, and is read again",
    EXIT_LOOP_BLOCKED: "its event loop did not turn",
}


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Heartbeat)


def decode(data: bytes | str) -> Heartbeat:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)
