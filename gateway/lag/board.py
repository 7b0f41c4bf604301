"""All partitions of all groups, judged together: `take` what was seen, `look` what to think of it. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.lag.samples import Sample, Window, shares
from gateway.lag.states import PATIENCE, Patience
from gateway.lag.summary import GroupVerdict, Judged, Place, SystemVerdict, of_group, of_system
from gateway.lag.verdict import Verdict, step


@dataclass(frozen=True)
class View:
    """What is thought at one moment."""

    at_s: float
    system: SystemVerdict
    groups: Mapping[str, GroupVerdict]
    partitions: Mapping[str, list[Judged]]  # by group; in order


@dataclass
class Board:
    """`groups`: each with the topics it reads. What else it commits is nobody's business here."""

    groups: Mapping[str, tuple[str, ...]]
    patience: Patience = PATIENCE
    retention_s: dict[str, float | None] = field(default_factory=dict)  # by topic; None: for good
    missing: set[str] = field(default_factory=set)  # topics that the broker does not have
    away: str = ""  # why nothing could be seen lately
    _windows: dict[Place, Window] = field(default_factory=dict)
    _verdicts: dict[Place, Verdict] = field(default_factory=dict)

    def take(self, samples: Mapping[Place, Sample]) -> None:
        """Partitions that are not among them keep their windows: a topic only grows."""
        for place, sample in samples.items():
            self._windows.setdefault(place, Window()).add(sample)

    def look(self, now_s: float) -> View:
        """Each call is a step of every partition's state machine."""
        share = self._shares()
        judged: dict[str, list[Judged]] = {group: [] for group in self.groups}
        for place in sorted(self._windows):
            verdict = self._verdicts[place] = step(
                self._verdicts.get(place),
                self._windows[place],
                now_s,
                share=share.get(place, 0.0),
                retention_s=self.retention_s.get(place.topic),
                away=self.away,
                patience=self.patience,
            )
            judged[place.group].append(Judged(place, verdict, self._windows[place].newest))
        groups = {
            group: of_group(group, judged[group], sorted(self.missing & set(topics)), self.away)
            for group, topics in self.groups.items()
        }
        return View(now_s, of_system(list(groups.values())), groups, judged)

    def _shares(self) -> dict[Place, float]:
        """Of what comes into a topic; a topic of one partition has no hot one."""
        of: defaultdict[tuple[str, str], list[Place]] = defaultdict(list)
        for place in self._windows:
            of[place.group, place.topic].append(place)
        found: dict[Place, float] = {}
        for places in of.values():
            if len(places) > 1:
                windows = (self._windows[place] for place in places)
                found |= zip(places, shares(windows, self.patience.trend_s), strict=True)
        return found
