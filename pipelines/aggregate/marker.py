"""What belongs to a partition of `activity` and not to a student; the records of two changelogs."""

import msgspec

from pipelines.aggregate.clock import Kept


class Marker(msgspec.Struct, array_like=True):
    """What belongs to the partition and not to a student."""

    partition: int
    offset: int = -1
    event_time_ms: int = 0  # the highest seen
    folded: int = 0
    duplicate: int = 0
    late: int = 0
    dead: int = 0
    generation: int = 0  # of event ids
    generation_ends_ms: int = 0
    delays: dict[int, list[int]] = {}  # hour → events by DELAY_BUCKETS
    time: Kept = Kept()  # how far it has been told of the students
    unplaced: dict[int, int] = {}  # hour → events in `delays` for which their student had no place
    base: int = -1  # the first offset that was ever counted; -1: none was, or before there was an audit
    salt: int = 0  # of the hashes of event ids, so that nobody can choose ids that collide


class SeenIds(msgspec.Struct, array_like=True):
    """Event ids of some flushes, as hashes. Beside the marker, since they come to more than one record holds."""

    partition: int
    generation: int
    offset: int  # the marker's when they were written
    ids: bytes  # 8 each
