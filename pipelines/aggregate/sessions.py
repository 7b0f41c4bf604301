"""When somebody was at work: a set of moments, kept as runs. Pure, and the same for any order of the moments.

Of two moments that follow each other the time between counts as active, up to CAP_MS; more than GAP_MS apart they
belong to two sessions, and the time between does not count. Moments no more than CAP_MS apart make up a run, whose
length is its active time, so that a run needs its two ends only: `[begin, end, begin, end, …]`, in order, ms. Moments
are whole panes: that of an event is the beginning of its pane.
"""

from bisect import bisect_right

import msgspec

from pipelines.aggregate.windows import DAY_MS, PANE_MS

CAP_MS = 5 * 60_000
GAP_MS = 30 * 60_000

Runs = list[int]


def visit(runs: Runs, at_ms: int) -> None:
    """Puts a moment in."""
    # Nearly always it is the newest.
    if not runs or at_ms > runs[-1] + CAP_MS:
        runs += [at_ms, at_ms]
        return
    if at_ms >= runs[-2]:
        runs[-1] = max(runs[-1], at_ms)
        return
    after = bisect_right(runs, at_ms)
    if after % 2:  # within a run
        return
    joins_before = after > 0 and at_ms - runs[after - 1] <= CAP_MS
    joins_after = after < len(runs) and runs[after] - at_ms <= CAP_MS
    if joins_before and joins_after:
        del runs[after - 1 : after + 1]
    elif joins_before:
        runs[after - 1] = at_ms
    elif joins_after:
        runs[after] = at_ms
    else:
        runs[after:after] = [at_ms, at_ms]


def between_ms(end_ms: int, begin_ms: int) -> int:
    """What the time between two runs counts."""
    return CAP_MS if begin_ms - end_ms <= GAP_MS else 0


def active_ms(runs: Runs) -> int:
    total = sum(runs[1::2]) - sum(runs[::2])
    return total + sum(map(between_ms, runs[1:-1:2], runs[2::2]))


class Sessions(msgspec.Struct, array_like=True, gc=False):
    """Of one student. What no accepted event can change any more is kept as numbers."""

    runs: Runs = []
    began_ms: int = -1  # of the session that the first run belongs to; -1: it begins with it
    before_ms: int = 0  # its active time before the first run
    days: dict[int, list[int]] | None = None  # epoch day → [sessions begun, active ms in them], of those settled

    def settle(self, complete_from_ms: int) -> None:
        """No moment before `complete_from_ms` comes any more."""
        runs, from_ms = self.runs, complete_from_ms // PANE_MS * PANE_MS
        while len(runs) > 2 and runs[2] <= from_ms:
            if self.began_ms < 0:
                self.began_ms = runs[0]
            self.before_ms += runs[1] - runs[0] + between_ms(runs[1], runs[2])
            if runs[2] - runs[1] > GAP_MS:
                self._close()
            del runs[:2]
        if len(runs) == 2 and runs[1] + GAP_MS < from_ms:
            if self.began_ms < 0:
                self.began_ms = runs[0]
            self.before_ms += runs[1] - runs[0]
            self._close()
            runs.clear()

    def _close(self) -> None:
        if self.days is None:
            self.days = {}
        day = self.days.setdefault(self.began_ms // DAY_MS, [0, 0])
        day[0] += 1
        day[1] += self.before_ms
        self.began_ms, self.before_ms = -1, 0

    def by_day(self) -> dict[int, tuple[int, int]]:
        """Epoch day → sessions begun on it, and the active ms in them, on whichever day these lie."""
        out = {day: (number, active) for day, (number, active) in (self.days or {}).items()}
        began_ms, total_ms = self.began_ms, self.before_ms
        for index in range(0, len(self.runs), 2):
            begin, end = self.runs[index : index + 2]
            began_ms = begin if began_ms < 0 else began_ms
            total_ms += end - begin
            last = index + 2 == len(self.runs)
            if last or self.runs[index + 2] - end > GAP_MS:
                number, active = out.get(began_ms // DAY_MS, (0, 0))
                out[began_ms // DAY_MS] = number + 1, active + total_ms
                began_ms, total_ms = -1, 0
            else:
                total_ms += CAP_MS
        return out

    def open_days(self) -> set[int]:
        """The days on which the sessions began that are not settled."""
        runs = self.runs
        if not runs:
            return set()
        later = {begin // DAY_MS for end, begin in zip(runs[1:-1:2], runs[2::2], strict=True) if begin - end > GAP_MS}
        return {(runs[0] if self.began_ms < 0 else self.began_ms) // DAY_MS, *later}

    def days_of(self, at_ms: int) -> set[int]:
        """The days whose sessions this moment, put in just now, may have changed: on which its own begins, or on which
        one began that it has joined to what was before."""
        runs = self.runs
        first = last = (bisect_right(runs, at_ms, hi=len(runs) - 1) - 1) // 2 * 2
        while first > 0 and runs[first] - runs[first - 1] <= GAP_MS:
            first -= 2
        while last + 2 < len(runs) and runs[last + 2] - runs[last + 1] <= GAP_MS and runs[last + 1] < at_ms + GAP_MS:
            last += 2
        begin_ms = self.began_ms if first == 0 and self.began_ms >= 0 else runs[first]
        return {begin_ms // DAY_MS, min(runs[last + 1], at_ms + GAP_MS) // DAY_MS}

    def drop(self, first_day: int) -> None:
        if self.days and min(self.days) < first_day:
            self.days = {day: of for day, of in self.days.items() if day >= first_day} or None
