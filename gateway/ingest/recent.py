"""The event ids that this process has seen acknowledged lately, so that a retried batch is not published again. Pure.

A kindness, not the judge: it forgets, and another process does not know. Whether an event counts the fold says.
"""

KEPT_S = 600.0
GENERATION_MAX = 50_000  # ids; two generations are some 30 MB


class Recent:
    """Two generations: an id is known for KEPT_S, and at most twice as long; shorter where more than GENERATION_MAX
    came since."""

    def __init__(self, generation_max: int = GENERATION_MAX) -> None:
        self._max = generation_max
        self._new: dict[str, str] = {}  # event id → student
        self._old: dict[str, str] = {}
        self._ends_s = 0.0

    def knows(self, event_id: str, student_id: str) -> bool:
        return self._new.get(event_id, self._old.get(event_id)) == student_id

    def add(self, event_id: str, student_id: str) -> None:
        self._new[event_id] = student_id

    def roll(self, now_s: float) -> None:
        """To be called now and then, with a clock that never steps back."""
        if now_s >= self._ends_s or len(self._new) > self._max:
            self._old = {} if now_s >= self._ends_s + KEPT_S else self._new
            self._new, self._ends_s = {}, now_s + KEPT_S
