"""The scopes of one partition of `activity`: which a student is in, and what he is in their sums. Pure."""

from collections.abc import Iterable, Sequence

from pipelines.aggregate import students, sums
from pipelines.aggregate.compact import same_number
from pipelines.aggregate.learners import Learner
from pipelines.aggregate.marker import Marker
from pipelines.aggregate.panes import Counts
from pipelines.aggregate.sessions import visit
from pipelines.aggregate.students import Place
from pipelines.aggregate.sums import Counters, Sums
from pipelines.aggregate.windows import HOUR_MS, PANE_MS
from wire.partials import Partial, add_one
from wire.scopes import Scope

SCHOOL = str(Scope.school())


class Scopes:
    def __init__(self) -> None:
        self.adrift: dict[int, int] = {}  # hour → events counted by the marker and not by the students
        self._sums: dict[str, Sums] = {}
        self._counters: dict[tuple[str, str | None], Counters] = {}
        self._pending: list[Counters] = []

    def delay_counted(self, hour: int) -> None:
        """Delays are not the students' but the marker's, so they change without them."""
        self.sums_of(SCHOOL).changed_hours.add(hour)

    def counters_of(self, course: str, team: str | None) -> Counters:
        counters = self._counters.get((course, team))
        if counters is None:
            names = [SCHOOL, str(Scope.course(course))] + ([] if team is None else [str(Scope.team(course, team))])
            counters = self._counters[course, team] = Counters([self.sums_of(name) for name in names], self._pending)
        return counters

    def sums_of(self, scope: str) -> Sums:
        of = self._sums.get(scope)
        if of is None:
            of = self._sums[scope] = Sums(scope)
        return of

    def new_pane(self, learner: Learner, place: Place, number: int) -> None:
        """The student is in one of his places in a pane for the first time."""
        for of_scope, places in self.scopes_of(learner.student.places):
            if any(other is place for other in places) and not any(number in other.panes for other in places):
                of_scope.new_pane(places, number)
        place.panes[number] = Counts()
        place.newest_pane = max(place.newest_pane, number)
        visit(learner.student.sessions.runs, same_number(number * PANE_MS))

    def scopes_of(self, places: Sequence[Place]) -> list[tuple[Sums, Sequence[Place]]]:
        """The scopes that a student with these places is in, each with those that belong to it."""
        if len(places) == 1:
            counters = self.counters_of(places[0].course, places[0].team)
            return [(of_scope, places) for of_scope in counters.scopes]
        out: dict[Sums, list[Place]] = {}
        for place in places:
            for of_scope in self.counters_of(place.course, place.team).scopes:
                out.setdefault(of_scope, []).append(place)
        return list(out.items())

    def stand(self, learner: Learner) -> list[Sums]:
        """Brings what the sums have of the student up to date, but for what is counted event by event. Returns those in
        which he stands otherwise than before."""
        own = learner.student.places
        if len(own) == 1:
            groups: Sequence[tuple[Sequence[Sums], Sequence[Place]]] = [
                (self.counters_of(own[0].course, own[0].team).scopes, own)
            ]
        else:
            groups = [((of_scope,), places) for of_scope, places in self.scopes_of(own)]
        stands = tuple([(scopes, students.standing(places)) for scopes, places in groups])
        come = []
        if stands != learner.stands:
            for scopes, standing in learner.stands:
                for of_scope in scopes:
                    of_scope.put(standing, -1)
            for scopes, standing in stands:
                for of_scope in scopes:
                    of_scope.put(standing, +1)
                    come.append(of_scope)
            learner.stands = stands
        member = tuple(
            [
                (of_scope, day, events)
                for scopes, places in groups
                for of_scope in scopes
                if of_scope.counts_members
                for day, events in students.events_by_day(places)
            ]
        )
        for of_scope, day, events in learner.member:
            of_scope.put_member(day, events, -1)
        for of_scope, day, events in member:
            of_scope.put_member(day, events, +1)
        learner.member = member
        return come

    def settle(self, changed: Iterable[Learner]) -> None:
        """Carries into the sums what has been counted since the last call, all of it of these students."""
        self.stand_anew(changed)
        sums.settle(self._pending)
        self._pending.clear()

    def stand_anew(self, changed: Iterable[Learner]) -> None:
        """Has scopes told in which one of these stands otherwise than before."""
        for learner in changed:
            learner.carry()
            for of_scope in self.stand(learner):
                of_scope.changed_now = True

    def partials(self, marker: Marker, complete_from_ms: int) -> list[Partial]:
        """Of those changed since the last call, what is complete: nothing behind `complete_from_ms` is."""
        if school := self._sums.get(SCHOOL):
            for hour in school.changed_hours & school.hours.keys():
                counts, delays = school.hours[hour], marker.delays[hour]
                counts.delays = delays
                if hour >= complete_from_ms // HOUR_MS:
                    lacking = sum(delays) - marker.unplaced.get(hour, 0) - counts.events
                    add_one(self.adrift, hour, lacking - self.adrift.get(hour, 0))
        return [
            partial
            for of_scope in self._sums.values()
            if of_scope.is_changed
            for partial in of_scope.partials(marker.partition, marker.offset, marker.event_time_ms, complete_from_ms)
        ]

    def drop(self, kept_from_ms: int) -> None:
        """Drops what is older. Every student who has lost a place has been told to `stand`."""
        for scope in [scope for scope, of in self._sums.items() if of.drop(kept_from_ms)]:
            del self._sums[scope]
        for names, counters in list(self._counters.items()):
            if not all(of_scope.scope in self._sums for of_scope in counters.scopes):
                del self._counters[names]
