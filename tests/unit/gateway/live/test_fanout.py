"""The joining law, as a machine of Hypothesis: Redis publishes and forgets, links break, viewers come, go and dawdle,
and yet each viewer has, at every (epoch, offset) he is shown, exactly the values Redis had then."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from watching import Page

from gateway.live import fanout
from gateway.live.fanout import FanOut, Viewer
from wire import frames
from wire.frames import Snapshot, Stale, Update
from wire.metrics import Metric, MetricPoint

SCOPES = ("course:c", "team:c/t", "student:s")
METRICS = (Metric.EVENTS_PER_MINUTE, Metric.ACTIVE_STUDENTS, Metric.ERROR_RATE, Metric.HELP_REQUESTS_OPEN)

Values = dict[str, MetricPoint]


def point(metric: Metric, value: float) -> MetricPoint:
    return MetricPoint(metric=metric, window_s=60, start_ms=0, value=value, n=1, as_of_ms=0)


def update(scope: str, offset: int, *points: MetricPoint, epoch: str = "e") -> tuple[Update, str]:
    frame = Update(scope=scope, epoch=epoch, offset=offset, values=list(points))
    return frame, frames.encode(frame).decode()


class RedisModel:
    """Values, heads and one link of a subscriber, whose messages arrive in order or, when it breaks, not at all."""

    def __init__(self) -> None:
        self.now: dict[str, tuple[str, int, Values]] = {scope: ("", 0, {}) for scope in SCOPES}
        self.was: dict[tuple[str, str, int], Values] = {(scope, "", 0): {} for scope in SCOPES}
        self.subscribed: set[str] = set()
        self.link: list[tuple[str, tuple[Update, str] | None]] = []  # None: the subscription is confirmed
        self.published = 0
        self.epochs = 0

    def publish(self, scope: str, metrics: set[Metric]) -> None:
        epoch, offset, values = self.now[scope]
        if not epoch:
            self.epochs += 1
            epoch = f"e{self.epochs}"
        self.published += 1
        points = [point(metric, self.published) for metric in sorted(metrics)]
        values = values | {each.field: each for each in points}
        self.now[scope] = epoch, offset + 1, values
        self.was[scope, epoch, offset + 1] = values
        if scope in self.subscribed:
            self.link.append((scope, update(scope, offset + 1, *points, epoch=epoch)))

    def subscribe(self, scope: str) -> None:
        self.subscribed.add(scope)
        self.link.append((scope, None))

    def flush(self) -> None:
        self.now = {scope: ("", 0, {}) for scope in SCOPES}


class JoiningLaw(RuleBasedStateMachine):
    """The machine plays Redis, the feed's part (which is what gateway/live/feed.py does), and every page."""

    def __init__(self) -> None:
        super().__init__()
        self.redis = RedisModel()
        self.fanout = FanOut()
        self.pages: dict[Viewer, Page] = {}
        self.due: dict[str, None] = {}
        self.answers: list[tuple[str, tuple[str, int, Values]]] = []  # of reads under way
        self.up = True
        self.missed = False

    @initialize()
    def begin(self) -> None:
        self.come({SCOPES[0]})

    # --- Redis ---

    @rule(scope=st.sampled_from(SCOPES), metrics=st.sets(st.sampled_from(METRICS), min_size=1))
    def publish(self, scope: str, metrics: set[Metric]) -> None:
        self.redis.publish(scope, metrics)

    @rule(
        scope=st.sampled_from(SCOPES),
        first=st.sampled_from(METRICS),
        then=st.sampled_from(METRICS),
        times=st.sampled_from([1, fanout.RECENT - 1, fanout.RECENT, fanout.RECENT + 1]),
    )
    def publish_often(self, scope: str, first: Metric, then: Metric, times: int) -> None:
        self.redis.publish(scope, {first})
        for _ in range(times):
            self.redis.publish(scope, {then})

    @rule()
    def flush(self) -> None:
        self.redis.flush()

    # --- the link ---

    @precondition(lambda self: self.redis.link)
    @rule(messages=st.sampled_from([1, 2, 1_000]), times=st.sampled_from([1, 1, 1, 2]))
    def receive(self, messages: int, times: int) -> None:
        """Twice is more often than Redis would, and changes nothing."""
        for scope, message in self.redis.link[:messages]:
            for _ in range(times):
                if message is None or not self.fanout.update(scope, *message):
                    self._need(scope)
        del self.redis.link[:messages]

    @precondition(lambda self: self.redis.link and self.redis.link[0][1])
    @rule()
    def miss(self) -> None:
        """Redis would not; where it does, the next update tells."""
        del self.redis.link[0]
        self.missed = True

    @precondition(lambda self: self.due and not self.answers)
    @rule()
    def ask(self) -> None:
        for scope in self.due:
            self.fanout.hold(scope)
            self.answers.append((scope, self.redis.now[scope]))
        self.due.clear()

    @precondition(lambda self: self.answers)
    @rule()
    def answer(self) -> None:
        scope, (epoch, offset, values) = self.answers.pop(0)
        if scope not in self.due and not self.fanout.snapshot(scope, epoch, offset, values.values()):
            self._need(scope)

    @precondition(lambda self: self.up)
    @rule()
    def cut(self) -> None:
        self.up = False
        self.redis.link.clear()
        self.redis.subscribed.clear()
        self.due.clear()
        self.answers.clear()
        self.fanout.lost(7)

    @precondition(lambda self: not self.up)
    @rule()
    def mend(self) -> None:
        self.up = True
        for scope in self.fanout.scopes:
            self.redis.subscribe(scope)

    # --- the viewers ---

    @rule(scopes=st.sets(st.sampled_from(SCOPES), min_size=1))
    def come(self, scopes: set[str]) -> None:
        new = scopes - self.fanout.scopes
        viewer = self.fanout.join(sorted(scopes), lambda: None, None if self.up else 7)
        self.pages[viewer] = Page(*scopes)
        if self.up:
            for scope in new:
                self.redis.subscribe(scope)

    @precondition(lambda self: self.pages)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        viewer = data.draw(st.sampled_from(list(self.pages)))
        del self.pages[viewer]
        self.fanout.leave(viewer)
        self.redis.subscribed &= self.fanout.scopes

    @precondition(lambda self: self.pages)
    @rule(data=st.data(), times=st.integers(1, 4))
    def take(self, data: st.DataObject, times: int) -> None:
        viewer = data.draw(st.sampled_from(list(self.pages)))
        for _ in range(times):
            self._take(viewer)

    @invariant()
    def nothing_is_kept_for_nobody(self) -> None:
        assert self.fanout.viewers == len(self.pages)
        assert self.fanout.scopes == {scope for page in self.pages.values() for scope in page.scopes}

    def teardown(self) -> None:
        """When all is quiet, everybody knows all there is to know."""
        if not self.up:
            self.mend()
        if not self.missed:
            self._settle()
        for scope in SCOPES:  # whoever missed something, or watches a scope that was flushed, learns it now
            self.redis.publish(scope, {METRICS[0]})
        self._settle(flushed=False)

    def _settle(self, *, flushed: bool = True) -> None:
        while self.redis.link or self.due or self.answers:
            self.receive(len(self.redis.link), 1)
            if not self.answers:
                self.ask()
            while self.answers:
                self.answer()
        for viewer, page in self.pages.items():
            while self._take(viewer):
                pass
            for scope, watched in page.scopes.items():
                assert watched.stale is None
                if self.redis.now[scope][0] or not flushed:
                    assert (watched.epoch, watched.offset, watched.values) == self.redis.now[scope]

    def _need(self, scope: str) -> None:
        self.fanout.hold(scope)
        self.due[scope] = None

    def _take(self, viewer: Viewer) -> bool:
        texts = viewer.take()
        for text in texts:
            frame = self.pages[viewer].take(text)
            if isinstance(frame, Snapshot | Update):
                watched = self.pages[viewer].scopes[frame.scope]
                assert watched.epoch is not None
                assert watched.values == self.redis.was[frame.scope, watched.epoch, watched.offset]
        return bool(texts)


TestJoiningLaw = pytest.mark.timeout(900)(JoiningLaw.TestCase)  # a failure is made small, which takes minutes
TestJoiningLaw.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


# --- examples ---


@pytest.fixture
def hub() -> FanOut:
    return FanOut()


def quiet() -> None: ...


def taken(viewer: Viewer) -> list[frames.Frame]:
    out = []
    while texts := viewer.take():
        out += [frames.decode(text) for text in texts]
    return out


def test_nothing_is_owed_before_the_first_snapshot(hub: FanOut) -> None:
    viewer = hub.join(["course:c"], quiet)
    hub.hold("course:c")
    assert hub.update("course:c", *update("course:c", 1, point(METRICS[0], 1)))
    assert taken(viewer) == []


def test_a_scope_nobody_wrote_has_an_empty_snapshot_and_goes_on_with_its_first_update(hub: FanOut) -> None:
    viewer = hub.join(["course:c"], quiet)
    assert hub.snapshot("course:c", "", 0, [])
    assert taken(viewer) == [Snapshot(scope="course:c", epoch="", offset=0, values=[])]
    published = update("course:c", 1, point(METRICS[0], 1))
    assert hub.update("course:c", *published)
    assert viewer.take() == [published[1]]


def test_an_update_that_does_not_follow_asks_for_a_read(hub: FanOut) -> None:
    hub.join(["course:c"], quiet)
    assert hub.snapshot("course:c", "e", 4, [])
    assert hub.update("course:c", *update("course:c", 4)), "one it has is no reason to read"
    assert not hub.update("course:c", *update("course:c", 6)), "5 is missing"
    assert not hub.update("course:c", *update("course:c", 5, epoch="other"))


def test_a_frame_is_encoded_once_for_all_viewers(hub: FanOut) -> None:
    viewers = [hub.join(["course:c"], quiet) for _ in range(3)]
    hub.snapshot("course:c", "e", 0, [point(METRICS[0], 1)])
    snapshots = [viewer.take()[0] for viewer in viewers]
    published = update("course:c", 1, point(METRICS[0], 2))
    hub.update("course:c", *published)
    updates = [viewer.take()[0] for viewer in viewers]
    for offset in range(2, fanout.RECENT + 10):
        hub.update("course:c", *update("course:c", offset, point(METRICS[0], offset)))
    folded = [viewer.take()[0] for viewer in viewers]
    hub.lost(1)
    stale = [viewer.take()[0] for viewer in viewers]
    for same in (snapshots, updates, folded, stale):
        assert len({id(text) for text in same}) == 1
    assert updates[0] is published[1], "as it was published"


def test_who_comes_later_begins_with_what_is_known_by_then(hub: FanOut) -> None:
    taken(hub.join(["course:c"], quiet))
    hub.snapshot("course:c", "e", 1, [point(METRICS[0], 1)])
    for offset in (2, 3):
        hub.update("course:c", *update("course:c", offset, point(METRICS[0], offset)))
        viewer = hub.join(["course:c"], quiet)
        values = [point(METRICS[0], offset)]
        assert taken(viewer) == [Snapshot(scope="course:c", epoch="e", offset=offset, values=values)]


def test_a_slow_viewer_gets_the_newest_of_each_key_and_how_many_he_skipped(hub: FanOut) -> None:
    viewer = hub.join(["course:c"], quiet)
    hub.snapshot("course:c", "e", 10, [point(METRICS[0], 0), point(METRICS[3], 0)])
    taken(viewer)
    for n in range(1, 101):
        hub.update("course:c", *update("course:c", 10 + n, point(METRICS[n % 2], n)))
    newest = [point(METRICS[0], 100), point(METRICS[1], 99)]
    assert taken(viewer) == [Update(scope="course:c", epoch="e", offset=110, values=newest, skipped=99)]


def test_each_scope_has_its_turn(hub: FanOut) -> None:
    viewer = hub.join(["course:c", "student:s"], quiet)
    for scope in ("course:c", "student:s"):
        hub.snapshot(scope, "e", 0, [])
    taken(viewer)
    hub.update("course:c", *update("course:c", 1))
    hub.update("student:s", *update("student:s", 1))
    hub.update("course:c", *update("course:c", 2))
    assert [len(viewer.take()) for _ in range(3)] == [2, 1, 0]


def test_what_arrives_during_a_read_is_bounded(hub: FanOut) -> None:
    hub.join(["course:c"], quiet)
    hub.hold("course:c")
    followed = [hub.update("course:c", *update("course:c", n)) for n in range(1, fanout.HELD_MAX + 2)]
    assert followed == [True] * fanout.HELD_MAX + [False]


def test_stale_is_told_once_an_outage_and_ended_by_a_snapshot(hub: FanOut) -> None:
    viewer = hub.join(["course:c"], quiet)
    hub.snapshot("course:c", "e", 3, [])
    taken(viewer)
    hub.lost(5)
    hub.lost(6)
    late = hub.join(["course:c", "student:s"], quiet, stale_since_ms=5)
    stale = Stale(scope="course:c", since_ms=5)
    known = Snapshot(scope="course:c", epoch="e", offset=3, values=[])
    assert taken(viewer) == [stale]
    assert taken(late) == [known, stale, Stale(scope="student:s", since_ms=5)]
    hub.snapshot("course:c", "e", 2, [])  # Redis lost its last second
    assert taken(viewer) == [Snapshot(scope="course:c", epoch="e", offset=2, values=[])]
    hub.lost(9)
    assert taken(viewer) == [Stale(scope="course:c", since_ms=9)]


def test_whoever_has_something_to_take_is_woken(hub: FanOut) -> None:
    woken: list[str] = []

    def wake(name: str) -> Callable[[], None]:
        return lambda: woken.append(name)

    hub.join(["course:c"], wake("one"))
    other = hub.join(["student:s"], wake("other"))
    woken.clear()
    hub.snapshot("course:c", "e", 0, [])
    assert set(woken) == {"one"}
    hub.leave(other)
    woken.clear()
    hub.lost(1)
    assert set(woken) == {"one"}


def test_what_arrives_before_the_first_read_is_not_taken_for_a_beginning(hub: FanOut) -> None:
    """The scope was left and is watched again; its first update is still on the way from before."""
    viewer = hub.join(["course:c"], quiet)
    assert hub.update("course:c", *update("course:c", 1, point(METRICS[0], 1)))
    assert taken(viewer) == []
    hub.hold("course:c")
    hub.snapshot("course:c", "e", 1, [point(METRICS[0], 1)])
    assert taken(viewer) == [Snapshot(scope="course:c", epoch="e", offset=1, values=[point(METRICS[0], 1)])]


def test_nothing_is_applied_while_stale(hub: FanOut) -> None:
    viewer = hub.join(["course:c"], quiet)
    hub.snapshot("course:c", "e", 3, [])
    hub.lost(5)
    assert hub.update("course:c", *update("course:c", 4, point(METRICS[0], 1)))
    known = Snapshot(scope="course:c", epoch="e", offset=3, values=[])
    assert taken(viewer) == [known, Stale(scope="course:c", since_ms=5)]
