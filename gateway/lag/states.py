"""The verdicts there are, and how long it takes until one is said. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The worse the later."""

    IDLE = "idle"  # nothing came lately, and all is read
    OK = "ok"
    CATCHING_UP = "catching_up"  # late, and what is unread grows less
    UNKNOWN = "unknown"
    FALLING_BEHIND = "falling_behind"  # late, and it does not
    REWOUND = "rewound"  # reads again what it had read
    STALLED = "stalled"  # somebody has the partition, and does not get on
    STOPPED = "stopped"  # nobody has it
    LOSING_DATA = "losing_data"  # records were deleted unread, or are about to be

    @property
    def severity(self) -> int:
        return _ORDER[self]

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")

    @property
    def fine(self) -> bool:
        return self.severity <= State.OK.severity


_ORDER = {state: number for number, state in enumerate(State)}


@dataclass(frozen=True)
class Patience:
    """How long, in seconds, until something is said. With a sample every 2 s, whatever stops is told within 15 s, and a
    worker that is away for 10 s is not."""

    still_s: float = 11.0  # unread records and no commit; longer where the group commits more seldom
    still_max_s: float = 60.0
    busy_s: float = 30.0  # the same, while its worker finishes records: on a busy machine a commit takes its time
    leave_s: float = 11.0  # nobody has it
    held_s: float = 5.0  # its worker waits for a store
    restore_s: float = 60.0  # its worker restores its tables
    late_s: float = 5.0  # age of the first unread record. Under load commits may be 5 s apart, and ...
    trough_s: float = 4.0  # ... so it must have been that late for so long
    trend_s: float = 12.0  # by which it is told whether it gets worse
    return_s: float = 10.0  # after a time in which nothing was seen; who was cut off from his broker comes back
    idle_s: float = 60.0  # nothing came
    confirm_s: float = 1.5  # between catching up and falling behind
    clear_s: float = 5.0  # better for so long, and it is believed
    told_s: float = 60.0  # a loss is told at least for so long
    stale_s: float = 10.0  # no sample


PATIENCE = Patience()
