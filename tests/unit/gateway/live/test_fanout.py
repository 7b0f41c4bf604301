"""The joining law, as a machine of Hypothesis: Redis publishes, forgets and loses, links break, viewers come, go, come
back and dawdle, and yet each viewer has, at every (epoch, offset) he is shown, exactly the values Redis had then."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from watching import Page, Watched

from gateway.live import framing, position, scope
from gateway.live.fanout import FanOut
from gateway.live.position import Place
from gateway.live.viewer import Viewer
from wire import frames
from wire.frames import Reason, Resumed, Snapshot, Stale, Update
from wire.metrics import Metric, MetricPoint

SCOPES = ("course:c", "team:c/t", "student:s")
METRICS = (Metric.EVENTS_PER_MINUTE, Metric.ACTIVE_STUDENTS, Metric.ERROR_RATE, Metric.HELP_REQUESTS_OPEN)
SOME: position.Metrics = frozenset(METRICS[:2])
KEPT = 50  # updates of a stream

Values = dict[str, MetricPoint]


def point(metric: Metric, value: float) -> MetricPoint:
    return MetricPoint(metric=metric, window_s=60, start_ms=0, value=value, n=1, as_of_ms=0)


def update(scope_: str, offset: int, *points: MetricPoint, epoch: str = "e") -> tuple[Update, bytes]:
    frame = Update(scope=scope_, epoch=epoch, offset=offset, values=list(points))
    return frame, frames.encode(frame)


class Socket:
    """A viewer's outlet: full after as many bytes as he has room for."""

    def __init__(self, page: Page | None = None, room: float = float("inf")) -> None:
        self.page = page or Page(*SCOPES)
        self.room = room
        self.got: list[bytes] = []
        self.writes = 0

    @property
    def full(self) -> bool:
        return self.room <= 0

    @property
    def pending(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.room -= len(data)
        for payload in framing.payloads(data):
            self.got.append(payload)
            self.page.take(payload)

    def end(self, code: int, reason: str, last: bytes = b"") -> None:
        raise AssertionError(f"nobody ends it: {code} {reason} {last!r}")

    def taken(self) -> list[frames.Frame]:
        got, self.got = self.got, []
        return [frames.decode(payload) for payload in got]


class RedisModel:
    """Values, heads, streams, and one link of a subscriber, whose messages arrive in order or, when it breaks, not."""

    def __init__(self) -> None:
        self.now: dict[str, tuple[str, int, Values]] = {name: ("", 0, {}) for name in SCOPES}
        self.was: dict[tuple[str, str, int], Values] = {(name, "", 0): {} for name in SCOPES}
        self.stream: dict[str, list[tuple[Update, bytes]]] = {name: [] for name in SCOPES}
        self.subscribed: set[str] = set()
        self.link: list[tuple[str, tuple[Update, bytes] | None]] = []  # None: the subscription is confirmed
        self.published = 0
        self.epochs = 0

    def publish(self, name: str, metrics: set[Metric]) -> None:
        epoch, offset, values = self.now[name]
        if not epoch:
            self.epochs += 1
            epoch = f"e{self.epochs}"
        self.published += 1
        points = [point(metric, self.published) for metric in sorted(metrics)]
        values = values | {each.field: each for each in points}
        self.now[name] = epoch, offset + 1, values
        self.was[name, epoch, offset + 1] = values
        entry = update(name, offset + 1, *points, epoch=epoch)
        self.stream[name] = [*self.stream[name], entry][-KEPT:]
        if name in self.subscribed:
            self.link.append((name, entry))

    def missed(self, name: str, after: int) -> tuple[str, list[tuple[Update, bytes]]]:
        return self.now[name][0], [entry for entry in self.stream[name] if entry[0].offset > after]

    def subscribe(self, name: str) -> None:
        self.subscribed.add(name)
        self.link.append((name, None))

    def flush(self) -> None:
        self.now = {name: ("", 0, {}) for name in SCOPES}
        self.stream = {name: [] for name in SCOPES}


class JoiningLaw(RuleBasedStateMachine):
    """The machine plays Redis, the feed's part (which is what gateway/live/feed.py does), and every page."""

    def __init__(self) -> None:
        super().__init__()
        self.redis = RedisModel()
        self.fanout = FanOut(lambda: None)
        self.sockets: dict[Viewer, Socket] = {}
        self.metrics: dict[Socket, position.Metrics] = {}
        self.gone: list[Socket] = []
        self.due: dict[str, None] = {}
        self.answers: list[tuple[str, tuple[str, int, Values]]] = []  # of reads under way
        self.missing: list[tuple[str, tuple[str, list[tuple[Update, bytes]]]]] = []
        self.up = True
        self.lossy = False

    @initialize()
    def begin(self) -> None:
        self.come({SCOPES[0]}, 10**9, None)

    # --- Redis ---

    @rule(name=st.sampled_from(SCOPES), metrics=st.sets(st.sampled_from(METRICS), min_size=1))
    def publish(self, name: str, metrics: set[Metric]) -> None:
        self.redis.publish(name, metrics)

    @rule(
        name=st.sampled_from(SCOPES),
        first=st.sampled_from(METRICS),
        then=st.sampled_from(METRICS),
        times=st.sampled_from([1, scope.RECENT - 1, scope.RECENT, scope.RECENT + 1, KEPT]),
    )
    def publish_often(self, name: str, first: Metric, then: Metric, times: int) -> None:
        self.redis.publish(name, {first})
        for _ in range(times):
            self.redis.publish(name, {then})

    @rule()
    def forget(self) -> None:
        self.redis.flush()

    # --- the link ---

    @precondition(lambda self: self.redis.link)
    @rule(messages=st.sampled_from([1, 2, 1_000]), times=st.sampled_from([1, 1, 1, 2]))
    def receive(self, messages: int, times: int) -> None:
        """Twice is more often than Redis would, and changes nothing."""
        for name, message in self.redis.link[:messages]:
            for _ in range(times):
                if message is None or not self.fanout.update(name, *message):
                    self._need(name)
        del self.redis.link[:messages]

    @precondition(lambda self: self.redis.link and self.redis.link[0][1])
    @rule()
    def miss(self) -> None:
        """Redis would not; where it does, the next update tells."""
        del self.redis.link[0]
        self.lossy = True

    @precondition(lambda self: self.due and not self.answers)
    @rule()
    def ask(self) -> None:
        for name in self.due:
            self.fanout.hold(name)
            self.answers.append((name, self.redis.now[name]))
        self.due.clear()

    @precondition(lambda self: self.answers)
    @rule()
    def answer(self) -> None:
        name, (epoch, offset, values) = self.answers.pop(0)
        if name not in self.due and not self.fanout.snapshot(name, epoch, offset, values.values()):
            self._need(name)

    @precondition(lambda self: self.up and not self.missing)
    @rule()
    def ask_for_what_was_missed(self) -> None:
        for name, after in self.fanout.missing_after().items():
            self.missing.append((name, self.redis.missed(name, after)))

    @precondition(lambda self: self.missing)
    @rule()
    def answer_what_was_missed(self) -> None:
        name, (epoch, entries) = self.missing.pop(0)
        if not self.fanout.missed(name, epoch, entries):
            self._need(name)

    @precondition(lambda self: self.up)
    @rule(flush=st.booleans(), more=st.sampled_from([0, 1, 5, scope.RECENT + 5]))
    def all_arrives(self, flush: bool, more: int) -> None:
        """As it does mostly."""
        self._arrive()
        for number in range(more):
            self.redis.publish(SCOPES[number % 2], {METRICS[number % 4]})
        self.receive(len(self.redis.link), 1)
        if flush:
            self.flush()

    @precondition(lambda self: self.up)
    @rule()
    def cut(self) -> None:
        self.up = False
        self.redis.link.clear()
        self.redis.subscribed.clear()
        self.due.clear()
        self.answers.clear()
        self.missing.clear()
        self.fanout.lost(7)

    @precondition(lambda self: not self.up)
    @rule()
    def mend(self) -> None:
        self.up = True
        for name in self.fanout.scopes:
            self.redis.subscribe(name)

    # --- the viewers ---

    @rule(
        scopes=st.sets(st.sampled_from(SCOPES), min_size=1),
        room=st.sampled_from([1, 1_000, 10**9]),
        metrics=st.sampled_from([None, None, SOME]),
    )
    def come(self, scopes: set[str], room: int, metrics: position.Metrics) -> None:
        self._join(Socket(Page(*sorted(scopes)), room), metrics)

    @precondition(lambda self: self.sockets)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        viewer = data.draw(st.sampled_from(list(self.sockets)))
        self.gone.append(self.sockets.pop(viewer))
        self.fanout.leave(viewer)
        self.redis.subscribed &= self.fanout.scopes

    @precondition(lambda self: self.gone)
    @rule(data=st.data(), room=st.sampled_from([1, 1_000, 10**9]))
    def come_back(self, data: st.DataObject, room: int) -> None:
        socket = data.draw(st.sampled_from(self.gone))
        self.gone.remove(socket)
        socket.page.lose()
        self._join(Socket(socket.page, room), self.metrics[socket])

    @precondition(lambda self: self.sockets)
    @rule(data=st.data(), missed=st.sampled_from([0, 1, scope.RECENT + 1, KEPT + 1]), stays=st.booleans())
    def blink(self, data: st.DataObject, missed: int, stays: bool) -> None:
        """Away for some updates. `stays`: somebody else, so that the gateway knows them."""
        if stays:
            self._join(Socket(Page(*SCOPES), 10**9), None)
        self.go(data)
        for number in range(missed):
            self.redis.publish(SCOPES[0], {METRICS[number % 4]})
        if stays and self.up:
            self._arrive()
        socket = self.gone.pop()
        socket.page.lose()
        self._join(Socket(socket.page, 10**9), self.metrics[socket])

    @precondition(lambda self: self.sockets)
    @rule(data=st.data(), name=st.sampled_from(SCOPES))
    def choose(self, data: st.DataObject, name: str) -> None:
        """One scope more, or one less."""
        viewer = data.draw(st.sampled_from(list(self.sockets)))
        socket = self.sockets[viewer]
        if name in socket.page.scopes:
            self.fanout.unsubscribe(viewer, name)
            del socket.page.scopes[name]
            self.redis.subscribed &= self.fanout.scopes
        else:
            socket.page.scopes[name] = Watched()
            self._subscribe(viewer, name)

    @rule()
    def flush(self) -> None:
        self.fanout.flush(0)
        self._check()

    @precondition(lambda self: self.sockets)
    @rule(data=st.data(), room=st.sampled_from([1, 1_000, 10**9]))
    def read(self, data: st.DataObject, room: int) -> None:
        self.sockets[data.draw(st.sampled_from(list(self.sockets)))].room = room

    @invariant()
    def nothing_is_kept_for_nobody(self) -> None:
        assert self.fanout.viewers == len(self.sockets)
        assert self.fanout.scopes == {name for socket in self.sockets.values() for name in socket.page.scopes}

    def teardown(self) -> None:
        """When all is quiet, everybody knows all there is to know."""
        if not self.up:
            self.mend()
        if not self.lossy:
            self._settle()
        for name in SCOPES:  # whoever missed something, or watches a scope that was flushed, learns it now
            self.redis.publish(name, {METRICS[0]})
        self._settle(flushed=False)

    def _settle(self, *, flushed: bool = True) -> None:
        for socket in self.sockets.values():
            socket.room = 10**9
        for _ in range(3):  # an answer may ask for another read
            self._arrive()
            self.flush()
            while self.missing:
                self.answer_what_was_missed()
            self.ask_for_what_was_missed()
            while self.missing:
                self.answer_what_was_missed()
        self.flush()
        for socket in self.sockets.values():
            for name, watched in socket.page.scopes.items():
                assert watched.live
                assert watched.stale is None
                if self.redis.now[name][0] or not flushed:
                    epoch, offset, values = self.redis.now[name]
                    assert (watched.epoch, watched.offset) == (epoch, offset)
                    assert watched.values == self._asked(socket, values)

    def _arrive(self) -> None:
        while self.redis.link or self.due or self.answers:
            self.receive(len(self.redis.link), 1)
            if not self.answers:
                self.ask()
            while self.answers:
                self.answer()

    def _join(self, socket: Socket, metrics: position.Metrics) -> None:
        viewer = self.fanout.join(socket, 0)
        self.sockets[viewer] = socket
        self.metrics[socket] = metrics
        for name in socket.page.scopes:
            self._subscribe(viewer, name)

    def _subscribe(self, viewer: Viewer, name: str) -> None:
        watched = self.sockets[viewer].page.scopes[name]
        new = self.fanout.subscribe(
            viewer,
            name,
            0,
            metrics=self.metrics[self.sockets[viewer]],
            place=None if watched.epoch is None else Place(watched.epoch, watched.offset),
            stale_since_ms=None if self.up else 7,
        )
        if new and self.up:
            self.redis.subscribe(name)

    def _need(self, name: str) -> None:
        self.fanout.hold(name)
        self.due[name] = None

    def _asked(self, socket: Socket, values: Values) -> Values:
        metrics = self.metrics[socket]
        return {field: each for field, each in values.items() if metrics is None or each.metric in metrics}

    def _check(self) -> None:
        """Gaps and duplicates are the page's to find; here it is what the values are."""
        for socket in self.sockets.values():
            socket.got.clear()
            for name, watched in socket.page.scopes.items():
                if watched.epoch is not None:
                    truth = self.redis.was[name, watched.epoch, watched.offset]
                    assert watched.values == self._asked(socket, truth)


TestJoiningLaw = pytest.mark.timeout(900)(JoiningLaw.TestCase)  # a failure is made small, which takes minutes
TestJoiningLaw.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


# --- examples ---

C = SCOPES[0]


@pytest.fixture
def hub() -> FanOut:
    return FanOut(lambda: None)


def watch(hub: FanOut, *scopes: str, socket: Socket | None = None, place: Place | None = None) -> Socket:
    socket = socket or Socket(Page(*scopes))
    viewer = hub.join(socket, 0)
    for name in scopes:
        hub.subscribe(viewer, name, 0, place=place)
    return socket


def publish(hub: FanOut, offset: int, number: int = 0) -> bytes:
    frame, payload = update(C, offset, point(METRICS[number], offset))
    assert hub.update(C, frame, payload)
    return payload


def test_a_frame_is_as_it_was_published_and_written_once_a_tick_to_each(hub: FanOut) -> None:
    sockets = [watch(hub, C) for _ in range(3)]
    hub.snapshot(C, "e", 0, [])
    hub.flush(0)
    payloads = [publish(hub, offset) for offset in (1, 2, 3)]
    hub.flush(0)
    for socket in sockets:
        assert socket.got[1:] == payloads
        assert socket.writes == 2


def test_an_update_that_does_not_follow_asks_for_a_read(hub: FanOut) -> None:
    watch(hub, C)
    assert hub.snapshot(C, "e", 4, [])
    assert hub.update(C, *update(C, 4)), "one it has is no reason to read"
    assert not hub.update(C, *update(C, 6)), "5 is missing"
    assert not hub.update(C, *update(C, 5, epoch="other"))


def test_a_slow_viewer_gets_the_newest_of_each_key_and_how_many_he_skipped(hub: FanOut) -> None:
    socket = watch(hub, C)
    hub.snapshot(C, "e", 10, [point(METRICS[0], 0), point(METRICS[3], 0)])
    hub.flush(0)
    socket.taken()
    socket.room = 0
    for n in range(1, 101):
        publish(hub, 10 + n, n % 2)
        hub.flush(0)
    assert socket.taken() == []
    socket.room = 1
    hub.flush(0)
    newest = [point(METRICS[0], 110), point(METRICS[1], 109)]
    assert socket.taken() == [Update(scope=C, epoch="e", offset=110, values=newest, skipped=99)]


def test_who_asks_for_some_metrics_gets_only_those_at_every_offset(hub: FanOut) -> None:
    socket = Socket(Page(C))
    hub.subscribe(hub.join(socket, 0), C, 0, metrics=SOME)
    hub.snapshot(C, "e", 0, [point(METRICS[0], 0), point(METRICS[3], 0)])
    hub.flush(0)
    publish(hub, 1, 3)
    publish(hub, 2, 1)
    hub.flush(0)
    assert socket.taken() == [
        Snapshot(scope=C, epoch="e", offset=0, values=[point(METRICS[0], 0)]),
        Update(scope=C, epoch="e", offset=1, values=[]),
        Update(scope=C, epoch="e", offset=2, values=[point(METRICS[1], 2)]),
    ]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Place("other", 5), Reason.EPOCH),
        (Place("e", 21), Reason.AHEAD),
        (Place("e", 3), Reason.TRIMMED),
        (None, Reason.NONE),
    ],
)
def test_who_cannot_go_on_is_told_why(hub: FanOut, place: Place | None, reason: Reason) -> None:
    page = Page(C)
    socket = watch(hub, C, socket=Socket(page), place=place)
    hub.snapshot(C, "e", 20, [])
    hub.flush(0)
    if hub.missing:
        assert hub.missing_after() == {C: 3}
        assert hub.missed(C, "e", [update(C, offset) for offset in range(10, 21)])
        hub.flush(0)
    assert socket.taken() == [Snapshot(scope=C, epoch="e", offset=20, values=[], reason=reason)]


def test_who_can_go_on_gets_what_he_missed_and_no_more(hub: FanOut) -> None:
    page = Page(C)
    page.scopes[C] = Watched(epoch="e", offset=10)
    socket = watch(hub, C, socket=Socket(page), place=Place("e", 10))
    hub.snapshot(C, "e", 90, [])
    hub.flush(0)
    assert hub.missing_after() == {C: 10}
    assert hub.missed(C, "e", [update(C, offset) for offset in range(5, 93)]), "ahead of what is published here"
    hub.flush(0)
    resumed, *updates = socket.taken()
    assert resumed == Resumed(scope=C, epoch="e", offset=10)
    assert updates == [update(C, offset)[0] for offset in range(11, 91)]


def test_stale_is_told_once_an_outage_and_ended_by_a_snapshot(hub: FanOut) -> None:
    socket = watch(hub, C)
    hub.snapshot(C, "e", 3, [])
    hub.flush(0)
    hub.lost(5)
    hub.lost(6)
    late = watch(hub, C)
    hub.flush(0)
    stale, known = Stale(scope=C, since_ms=5), Snapshot(scope=C, epoch="e", offset=3, values=[])
    assert socket.taken() == [known, stale]
    assert late.taken() == [known, stale]
    hub.snapshot(C, "e", 2, [])  # Redis lost its last second
    hub.flush(0)
    again = Snapshot(scope=C, epoch="e", offset=2, values=[], reason=Reason.REREAD)
    assert socket.taken() == late.taken() == [again]


def test_what_arrives_during_a_read_is_bounded(hub: FanOut) -> None:
    watch(hub, C)
    hub.hold(C)
    followed = [hub.update(C, *update(C, n)) for n in range(1, scope.HELD_MAX + 2)]
    assert followed == [True] * scope.HELD_MAX + [False]


def test_who_has_not_read_what_was_told_in_time_is_late(hub: FanOut) -> None:
    viewers = [hub.join(Socket(Page(C)), 0) for _ in range(3)]
    reads, dawdles, _ = viewers
    hub.snapshot(C, "e", 0, [])
    for viewer in (reads, dawdles):
        hub.subscribe(viewer, C, 0)
    hub.snapshot(C, "e", 0, [])
    hub.flush(1)
    for second in range(2, 20):
        publish(hub, second - 1)
        hub.flush(second)
        hub.acknowledge(reads, C, second - 1)
        if second == 10:
            hub.acknowledge(dawdles, C, 5)  # told at 6
    assert hub.late(6, 10) == []
    assert hub.late(7, 10) == [dawdles], "who watches nothing has nothing to read"


def watch_two(hub: FanOut, offset: int) -> tuple[Viewer, str]:
    """A viewer of C and of another scope, both at `offset`, which he was told at 1."""
    viewer, other = hub.join(Socket(Page(*SCOPES)), 0), SCOPES[1]
    for name in (C, other):
        hub.subscribe(viewer, name, 0)
        hub.snapshot(name, "e", offset, [])
    hub.flush(1)
    return viewer, other


def test_who_has_shown_the_last_there_is_has_read_all_of_every_scope(hub: FanOut) -> None:
    """He says what he showed last, which need not be of the scope that was marked last."""
    viewer, other = watch_two(hub, 0)
    publish(hub, 1)
    hub.flush(2)  # marked
    hub.update(other, *update(other, 1))
    hub.flush(2.3)  # marked
    publish(hub, 2)
    hub.flush(2.5)  # too soon to be marked
    assert hub.late(12, 10) == [viewer]
    hub.acknowledge(viewer, C, 2)
    assert hub.late(12, 10) == [], "now nothing changes any more, and he has said all he can"


def test_what_was_read_again_and_shown_is_read(hub: FanOut) -> None:
    viewer, other = watch_two(hub, 1)
    hub.snapshot(other, "e", 5, [])
    hub.snapshot(C, "e", 1, [])  # as it was
    hub.flush(2)
    hub.acknowledge(viewer, C, 1)
    assert hub.late(12, 10) == []


def test_a_scope_of_our_own_begins_by_a_snapshot_has_the_whole_each_time_and_outlives_the_source() -> None:
    def whole(offset: int) -> tuple[Update, bytes]:
        drawn = msgspec.Raw(b'{"at":%d}' % offset)
        frame = Update(scope=frames.ONCALL, epoch="p", offset=offset, values=[], pipeline=drawn)
        return frame, frames.encode(frame)

    def told(data: bytes) -> list[tuple[str, int, int, bytes]]:
        found = []
        for each in map(frames.decode, framing.payloads(data)):
            assert isinstance(each, Snapshot | Update)
            assert isinstance(each.pipeline, msgspec.Raw)
            skipped = each.skipped if isinstance(each, Update) else 0
            found.append((type(each).__name__, each.offset, skipped, bytes(each.pipeline)))
        return found

    class Kept(Socket):
        data = b""

        def write(self, data: bytes) -> None:
            self.data += data

        def read(self) -> bytes:
            data, self.data = self.data, b""
            return data

    fanout, quick, slow = FanOut(lambda: None), Kept(), Kept()
    for socket in (quick, slow):
        viewer = fanout.join(socket, 0.0)
        fanout.subscribe(viewer, frames.ONCALL, 0.0, ours=True)
    assert fanout.scopes == set()  # nothing to be read
    fanout.tell(*whole(7))
    fanout.flush(1.0)
    assert told(quick.read()) == told(slow.read()) == [("Snapshot", 7, 0, b'{"at":7}')]
    fanout.lost(1_000)
    slow.room = 0
    last = 8 + scope.RECENT
    for offset in range(8, last + 1):
        fanout.tell(*whole(offset))
        fanout.flush(float(offset))
    assert told(quick.read()) == [("Update", each, 0, b'{"at":%d}' % each) for each in range(8, last + 1)]
    slow.room = float("inf")
    fanout.flush(last + 1.0)
    assert told(slow.read()) == [("Update", last, scope.RECENT, b'{"at":%d}' % last)]
