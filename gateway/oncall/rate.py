"""How many a second, over the last minute. Pure; times are monotonic seconds."""

from collections import deque

WINDOW_S = 60


class Rate:
    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._seconds: deque[tuple[int, int]] = deque()  # which, and how many in it
        self.total = 0

    def add(self, number: int, now_s: float) -> None:
        self.total += number
        second = int(now_s)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + number)
        else:
            self._seconds.append((second, number))
        self._drop(second)

    def per_s(self, now_s: float) -> float:
        """Over a shorter time where it has not counted for so long, but a second at least."""
        self._drop(int(now_s))
        return sum(number for _, number in self._seconds) / min(WINDOW_S, max(1.0, now_s - self._began_s))

    def _drop(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - WINDOW_S:
            self._seconds.popleft()
