"""Whether a child that runs still answers: it is asked again and again. Pure; the clock is an argument."""

ASK_EVERY_S = 2.0
ANSWER_WITHIN_S = 2.0


class Hearing:
    """Only time counts in which it was asked: where the launcher itself was stopped and continued, nobody was deaf."""

    def __init__(self, deaf_after_s: float) -> None:
        self.deaf_s = 0.0
        self._deaf_after_s = deaf_after_s
        self._heard_at_s: float | None = None  # the last answer, or the lack of one
        self._next_s = 0.0

    def is_due(self, now_s: float) -> bool:
        """Whether it is to be asked now."""
        return now_s >= self._next_s

    def heard(self, answered: bool, now_s: float) -> bool:
        """True where it is to be given up: for so long it has not answered."""
        passed_s = 0.0 if self._heard_at_s is None else now_s - self._heard_at_s
        self._heard_at_s, self._next_s = now_s, now_s + ASK_EVERY_S
        self.deaf_s = 0.0 if answered else self.deaf_s + min(passed_s, 2 * (ASK_EVERY_S + ANSWER_WITHIN_S))
        return self.deaf_s >= self._deaf_after_s

    def began(self) -> None:
        """It was started anew."""
        self.deaf_s, self._heard_at_s, self._next_s = 0.0, None, 0.0
