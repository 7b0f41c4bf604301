"""What has changed lately: each thing that became wrong, otherwise wrong, or right again, with its time. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.oncall import reasons
from gateway.oncall.reasons import Level, Reason

KEPT_S = 3_600
KEPT_MAX = 1_000  # something that changes each second would be told for 16 min; every thing has few words
SYSTEM = "system"


@dataclass(frozen=True)
class Change:
    number: int  # counts on from the first of this process
    at_ms: int  # epoch, when it was noticed
    about: str
    before: Level
    after: Level
    says: str  # why it is so now; "" where it is right again


class Changes:
    """Of the last hour. Whoever looks tells it by `note` what is wrong."""

    def __init__(self, kept_ms: int = KEPT_S * 1000, kept_max: int = KEPT_MAX) -> None:
        self._kept_ms = kept_ms
        self._changes: deque[Change] = deque(maxlen=kept_max)
        self._now: dict[str, tuple[Level, str, int]] = {}  # what is wrong: level, section, since
        self._system = Level.OK
        self._number = 0
        self.since_ms: int | None = None  # the system's verdict is so since then; None: nobody has looked

    def note(self, found: Sequence[Reason], now_ms: int) -> None:
        """What is wrong is a change where its level is another, or its section of the runbook: what a sentence counts
        may be another each time."""
        wrong = {one.about: one for one in found}
        for about in [about for about in self._now if about not in wrong]:
            before, _, _ = self._now.pop(about)
            self._add(now_ms, about, before, Level.OK, "")
        for about, one in wrong.items():
            before, section, _ = self._now.get(about, (Level.OK, "", 0))
            if (before, section) != (one.level, one.section):
                since_ms = now_ms if one.since_ms is None else one.since_ms
                self._now[about] = (one.level, one.section, since_ms)
                self._add(now_ms, about, before, one.level, one.says)
        verdict = reasons.level(found)
        if self.since_ms is None or verdict is not self._system:
            self.since_ms = now_ms
        if verdict is not self._system:
            worst = reasons.worst_first(found)
            self._add(now_ms, SYSTEM, self._system, verdict, worst[0].says if worst else "")
            self._system = verdict
        self._drop(now_ms)

    def since_of(self, about: str) -> int | None:
        """Epoch ms since when it is wrong in this way; None: it is not."""
        found = self._now.get(about)
        return None if found is None else found[2]

    def lately(self, now_ms: int) -> list[Change]:
        """Newest first."""
        self._drop(now_ms)
        return list(reversed(self._changes))

    def _add(self, now_ms: int, about: str, before: Level, after: Level, says: str) -> None:
        self._number += 1
        self._changes.append(Change(self._number, now_ms, about, before, after, says))

    def _drop(self, now_ms: int) -> None:
        while self._changes and now_ms - self._changes[0].at_ms > self._kept_ms:
            self._changes.popleft()
