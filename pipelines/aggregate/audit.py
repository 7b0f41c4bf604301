"""The books of one partition of `activity`: what doors claim and what fold judged, minute by minute. Pure.

Three sums must hold, of any range of offsets: what doors claim is there, and claimed once; what is there has been
judged, once; what was folded is in the windows. What does not hold is kept with its offsets.
"""

from collections.abc import Iterable, Iterator

import msgspec

from wire.audit import Balance, Claimed, Judged, Run, Runs, Stage, Totals, Wrong, number

MINUTE_MS = 60_000
ROWS = 60  # minutes kept
OPEN_ROWS = 3  # whose claims are kept too: a door tells its own within seconds
AWAY_MS = 60_000  # claimed offsets that are not there after so long are lost
WRONG_MAX = 100  # ranges of one row; of more the last one grows


class Row(msgspec.Struct, array_like=True):
    """Of a minute of record time."""

    minute_ms: int
    first: int  # offset
    last: int
    totals: Totals = Totals()
    accepted: int = 0
    wrong: list[Wrong] = []

    def note(self, wrong: Wrong) -> None:
        before = self.wrong[-1] if self.wrong and self.wrong[-1].stage is wrong.stage else None
        if before is not None and (wrong.stage is Stage.WINDOWS or len(self.wrong) >= WRONG_MAX):
            # Windows that lack events say so each time they are told.
            grown = wrong.number if wrong.stage is Stage.WINDOWS else before.number + wrong.number
            self.wrong[-1] = Wrong(stage=wrong.stage, first=before.first, last=wrong.last, number=grown)
        else:
            self.wrong.append(wrong)


class Books(msgspec.Struct, array_like=True):
    """As they lie in the changelog."""

    partition: int
    base: int = -1  # of fold's counters
    judged_to: int = -1  # offset
    totals: Totals = Totals()  # up to there
    rows: list[Row] = []
    claims: dict[str, Runs] = {}  # by door: of the open rows, and of what is not judged yet
    away_since_ms: int = 0  # wall clock; 0: all that is claimed is there

    def judged(self, said: Judged) -> None:
        if said.base != self.base:
            self._open(said)
        if said.last <= self.judged_to:
            return  # a replay says the same
        first, counted = self.judged_to + 1, _less(said.totals, self.totals)
        self.judged_to, self.totals = said.last, said.totals
        row = self._row(said.at_ms, first)
        row.last = said.last
        row.totals = _more(row.totals, counted)
        if missed := said.last - first + 1 - counted.all:
            row.note(Wrong(stage=Stage.FOLD, first=first, last=said.last, number=missed))
        if said.adrift:
            row.note(Wrong(stage=Stage.WINDOWS, first=first, last=said.last, number=said.adrift))
        self._count_claims()

    def claimed(self, said: Claimed) -> None:
        opened = self._opened
        for run in said.runs:
            if run[0] < opened:
                for row in self.rows[:-OPEN_ROWS]:
                    row.accepted += _overlap([run], (row.first, row.last))
                if run[1] < opened:
                    continue
            for door, runs in self.claims.items():
                if door != said.door and (twice := _overlap(runs, run)):
                    self._row(said.at_ms, opened).note(
                        Wrong(stage=Stage.DOOR, first=run[0], last=run[1], number=-twice)
                    )
            self.claims[said.door] = _merged([*self.claims.get(said.door, ()), (max(run[0], opened), run[1])])
        self._count_claims()

    def look(self, end: int, wall_ms: int) -> bool:
        """`end` of the partition as the broker told it last. True where claims have come to nothing."""
        beyond = [(max(first, end), last) for runs in self.claims.values() for first, last in runs if last >= end]
        if not beyond:
            self.away_since_ms = 0
            return False
        self.away_since_ms = self.away_since_ms or wall_ms
        if wall_ms - self.away_since_ms < AWAY_MS:
            return False
        first, last = min(run[0] for run in beyond), max(run[1] for run in beyond)
        self._row(wall_ms, end).note(Wrong(stage=Stage.DOOR, first=first, last=last, number=number(beyond)))
        self.claims = {door: [run for run in runs if run[1] < end] for door, runs in self.claims.items()}
        return True

    def balances(self) -> Iterator[Balance]:
        """Of each minute, the oldest first."""
        for row in self.rows:
            yield Balance(
                partition=self.partition,
                minute_ms=row.minute_ms,
                first=row.first,
                last=row.last,
                accepted=row.accepted,
                totals=row.totals,
                difference=sum(abs(wrong.number) for wrong in row.wrong),
                wrong=list(row.wrong),
            )

    def differences(self) -> dict[Stage, int]:
        """Events that do not add up, too many and too few, over the minutes kept."""
        out = dict.fromkeys(Stage, 0)
        for wrong in (wrong for row in self.rows for wrong in row.wrong):
            out[wrong.stage] += abs(wrong.number)
        return out

    @property
    def _opened(self) -> int:
        """The first offset whose claims are kept."""
        return self.rows[-OPEN_ROWS:][0].first if self.rows else 0

    def _open(self, said: Judged) -> None:
        """What was counted before is taken as it is: the audit is younger than the counters, or they began anew."""
        others = number(said.duplicate), number(said.late), number(said.dead)
        counted = Totals(said.last - said.first + 1 - sum(others), *others)
        self.base, self.judged_to, self.totals = said.base, said.first - 1, _less(said.totals, counted)
        self.rows = [row for row in self.rows if row.last < said.first]

    def _row(self, at_ms: int, first: int) -> Row:
        """The minute's, which begins with this offset where it is new. Minutes do not go back."""
        minute_ms = at_ms // MINUTE_MS * MINUTE_MS
        if not self.rows or minute_ms > self.rows[-1].minute_ms:
            self.rows.append(Row(minute_ms, first, first - 1))
            del self.rows[:-ROWS]
        return self.rows[-1]

    def _count_claims(self) -> None:
        opened = self._opened
        for row in self.rows[-OPEN_ROWS:]:
            row.accepted = sum(_overlap(runs, (row.first, row.last)) for runs in self.claims.values())
        kept = {
            door: [(max(first, opened), last) for first, last in runs if last >= opened]
            for door, runs in self.claims.items()
        }
        self.claims = {door: runs for door, runs in kept.items() if runs}


def _overlap(runs: Runs, run: Run) -> int:
    return sum(max(0, min(last, run[1]) - max(first, run[0]) + 1) for first, last in runs)


def _merged(runs: Iterable[Run]) -> Runs:
    out: Runs = []
    for first, last in sorted(runs):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out


def _less(one: Totals, other: Totals) -> Totals:
    return Totals(*(a - b for a, b in zip(_each(one), _each(other), strict=True)))


def _more(one: Totals, other: Totals) -> Totals:
    return Totals(*(a + b for a, b in zip(_each(one), _each(other), strict=True)))


def _each(of: Totals) -> tuple[int, ...]:
    return of.folded, of.duplicate, of.late, of.dead
