"""How many may watch at once."""

from gateway.live.doors import Bound, Doors, Visitor
from wire.frames import CloseCode


def test_so_many_in_all_and_from_one_address() -> None:
    doors = Doors(Bound(viewers=3, per_address=2, per_user=100))
    a, b = Visitor("a", None), Visitor("b", None)
    assert [doors.enter(a) for _ in range(3)] == [None, None, CloseCode.FULL_ADDRESS]
    assert [doors.enter(b) for _ in range(2)] == [None, CloseCode.FULL]
    doors.leave(a)
    assert doors.viewers == 2
    assert doors.enter(b) is None
    for visitor in (a, b, b):
        doors.leave(visitor)
    assert doors.viewers == 0
    assert doors.enter(a) is None


def test_so_many_of_one_user_wherever_he_is() -> None:
    doors = Doors(Bound(viewers=100, per_address=100, per_user=2))
    kim = [Visitor(address, "kim") for address in "abc"]
    assert [doors.enter(visitor) for visitor in kim] == [None, None, CloseCode.FULL_USER]
    assert doors.enter(Visitor("c", "lee")) is None
    assert doors.enter(Visitor("c", None)) is None
    doors.leave(kim[0])
    assert doors.enter(kim[2]) is None
