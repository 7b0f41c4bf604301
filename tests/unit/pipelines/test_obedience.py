"""A worker obeys what it last heard, until the pause's own end, and hears nothing in silence. Time is drawn in ms."""

from pipelines.obedience import Obedience
from wire import orders
from wire.orders import Drain, Pause, Standing

PAUSE = Pause(group="live", by="ann", reason="Redis moves", since_ms=1_000, until_ms=60_000)
PAUSED = orders.encode(Standing(pause=PAUSE))
GOES_ON = orders.encode(Standing())


class Worker:
    def __init__(self) -> None:
        self.held: list[bool] = []
        self.left = 0
        self.obedience = Obedience(500, self.held.append, self._leave)

    def _leave(self) -> None:
        self.left += 1

    def beat(self, now_ms: int, standing: bytes | None = None, drain: bytes | None = None) -> bool:
        self.obedience.hear(standing, drain)
        self.obedience.obey(now_ms)
        return self.held[-1]


def test_it_pauses_and_goes_on_as_it_is_told() -> None:
    worker = Worker()
    assert not worker.beat(1_000)
    assert worker.beat(2_000, PAUSED)
    assert worker.obedience.says == PAUSE.says
    assert PAUSE.says == "paused by ann since 1970-01-01 00:00Z until 1970-01-01 00:01Z: Redis moves"
    assert not worker.beat(4_000, GOES_ON)
    assert worker.obedience.says == ""


def test_hearing_nothing_changes_nothing_but_a_pause_ends_by_itself() -> None:
    worker = Worker()
    worker.beat(2_000, PAUSED)
    assert [worker.beat(at_ms) for at_ms in (4_000, 59_999, 60_000)] == [True, True, False]
    assert not worker.beat(62_000, PAUSED)  # the gateway has not noticed yet


def test_one_that_cannot_be_read_changes_nothing() -> None:
    worker = Worker()
    worker.beat(2_000, PAUSED)
    assert worker.beat(4_000, b'{"pause": 7}', b"?")
    assert worker.left == 0


def test_its_clock_stands_still_while_it_is_paused_and_goes_on_from_there() -> None:
    worker = Worker()
    worker.beat(2_000, PAUSED)
    assert worker.obedience.worked_ms(9_000) == 2_000
    worker.beat(10_000, GOES_ON)
    assert worker.obedience.worked_ms(11_000) == 3_000
    worker.beat(20_000, PAUSED)
    worker.beat(60_000)
    assert worker.obedience.worked_ms(60_500) == 12_500


def test_it_is_drained_once_and_not_by_an_order_to_the_process_before_it() -> None:
    worker = Worker()
    worker.beat(2_000, drain=orders.encode(Drain(by="ann", reason="x", at_ms=499)))
    assert worker.left == 0
    for at_ms in (4_000, 6_000):
        worker.beat(at_ms, drain=orders.encode(Drain(by="ann", reason="x", at_ms=3_000)))
    assert worker.left == 1
