"""A student at work in this process. Pure."""

from collections.abc import Sequence

from pipelines.aggregate import lanes
from pipelines.aggregate.dedupe import hash_of
from pipelines.aggregate.panes import Counts, same_counts
from pipelines.aggregate.students import Day, Hour, Place, Standing, Student
from pipelines.aggregate.sums import Counters, Sums


class Learner:
    """A student, with what is known of him beside his record."""

    __slots__ = (
        "changed", "counted", "counters", "day", "hour", "id", "member", "pane", "pane_number", "place", "seed",
        "stands", "student", "told_day", "told_now", "told_with",
    )  # fmt: skip

    def __init__(self, id_: str, student: Student, salt: int) -> None:
        self.id = id_
        self.seed = hash_of(id_.encode(), salt)  # of the hashes of event ids, which are told apart by student
        self.student = student
        self.changed: set[int] | None = None  # panes, since all was last told
        self.told_with = -1  # which telling of all he was told with because he had changed, or since which
        self.told_day = b""  # what was told last of the newest day, and of how he stands
        self.told_now = b""
        # Where his last event lies, since the next one mostly lies there too.
        self.pane_number = -1
        self.counted = 0  # packed (`lanes`): events of there that are nowhere else yet
        self.counters: Counters
        self.place: Place
        self.pane: Counts
        self.hour: Hour
        self.day: Day
        # As it is in the sums: of the scopes in which he stands alike, the school first; of teams: day, events.
        self.stands: tuple[tuple[Sequence[Sums], Standing], ...] = ()
        self.member: tuple[tuple[Sums, int, int], ...] = ()

    def carry(self) -> None:
        """Counts where they lie the events since the last time, with one addition for all of them."""
        if counted := self.counted:
            self.counted = 0
            lanes.add_outcome(counted, self.pane)
            lanes.add_outcome(counted, self.hour)
            lanes.add_day(counted, self.day)
            self.counters.add(self.pane_number, self.hour.number, counted)

    def leave(self) -> None:
        """The pane he was in: his next event may lie elsewhere."""
        self.carry()
        if self.pane_number >= 0:
            pane = same_counts(self.pane.events, self.pane.attempts, self.pane.failures)
            self.pane = self.place.panes[self.pane_number] = pane
            self.pane_number = -1
