"""What a sampler would see of one partition, drawn as lines with a step of 2 s.

owner   a a a . . .     a letter: the member that has it; `.`: nobody; `~`: its group rebalances
came    5               records that came in this step; the last one goes on
read    5 5 0           records read and committed in this step, as far as there are any; `+`: all there are
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.lag.samples import Phase, Sample, Window, Worker
from gateway.lag.states import PATIENCE, Patience, State
from gateway.lag.verdict import Verdict, step

STEP_S = 2.0

Changes = Callable[[int, Sample], Sample]


@dataclass
class Timeline:
    patience: Patience = PATIENCE
    retention_s: float | None = None
    share: float = 0.0
    window: Window = field(default_factory=Window)
    verdicts: list[Verdict] = field(default_factory=list)
    now_s: float = 1_000.0
    committed: int = 0
    first: int = 0
    end: int = 0
    _came: list[tuple[int, float]] = field(default_factory=list)  # the end before each step's records, and when

    def go(
        self,
        steps: int,
        *,
        came: str = "0",
        read: str = "+",
        owner: str = "a",
        worker: Worker | None = None,
        mute: int = 0,
        changes: Changes = lambda _, sample: sample,
    ) -> list[State]:
        """The states of these steps."""
        for number in range(steps):
            new = int(_at(came.split(), number))
            if new:
                self._came.append((self.end, self.now_s + STEP_S))
            self.now_s += STEP_S
            self.end += new
            self.committed = max(self.committed, self._reads(_at(read.split(), number)))
            who = _at(owner.split(), number)
            self.window.add(changes(number, self._sample(who, worker, mute)))
            self.look()
        return [verdict.state for verdict in self.verdicts[-steps:]]

    def away(self, steps: int) -> list[State]:
        """The same while Kafka is away: nothing comes, is read or seen."""
        for _ in range(steps):
            self.now_s += STEP_S
            self.look()
        return [verdict.state for verdict in self.verdicts[-steps:]]

    def look(self) -> Verdict:
        """Without a new sample."""
        before = self.verdicts[-1] if self.verdicts else None
        verdict = step(
            before,
            self.window,
            self.now_s,
            share=self.share,
            retention_s=self.retention_s,
            patience=self.patience,
        )
        self.verdicts.append(verdict)
        return verdict

    @property
    def last(self) -> Verdict:
        return self.verdicts[-1]

    def _reads(self, word: str) -> int:
        if word == "+":
            return self.end
        at = max(self.committed, self.first) if int(word) else self.committed
        return min(self.end, at + int(word))

    def _sample(self, who: str, worker: Worker | None, mute: int) -> Sample:
        return Sample(
            at_s=self.now_s,
            committed=self.committed,
            position=self.committed,
            first=self.first,
            end=self.end,
            read_age_s=self._age_s(),
            owner="" if who in ".~" else who,
            phase={".": Phase.EMPTY, "~": Phase.REBALANCING}.get(who, Phase.STABLE),
            worker=None if who in ".~" else worker,
            mute=mute,
        )

    def _age_s(self) -> float | None:
        at = max(self.committed, self.first)
        if at >= self.end:
            return None
        return self.now_s - max(came_s for before, came_s in self._came if before <= at)


def _at(words: Sequence[str], number: int) -> str:
    return words[min(number, len(words) - 1)]


def runs(states: Iterable[State]) -> list[State]:
    """Without repetitions: what they were, one after the other."""
    found: list[State] = []
    for state in states:
        if not found or found[-1] is not state:
            found.append(state)
    return found
