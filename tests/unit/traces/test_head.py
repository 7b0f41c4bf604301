"""Which requests are traced."""

from traces.context import Context
from traces.head import ASKED_A_SECOND, ASKED_AT_ONCE, Head

WANTED = Context("1" * 32, "2" * 16, sampled=True)


def test_the_share_is_taken() -> None:
    chances = iter([0.0, 0.49, 0.5, 0.99])
    head = Head(0.5, lambda: next(chances))
    assert [head.takes(None, 0) for _ in range(4)] == [True, True, False, False]
    assert not Head(0, lambda: 0.0).takes(None, 0)
    assert Head(1, lambda: 0.999).takes(None, 0)


def test_a_producer_says_whether_his_is_but_not_too_often() -> None:
    head = Head(0, lambda: 0.5)
    assert sum(head.takes(WANTED, 100) for _ in range(1_000)) == ASKED_AT_ONCE
    assert sum(head.takes(WANTED, 101) for _ in range(1_000)) == ASKED_A_SECOND
    assert not Head(1, lambda: 0.5).takes(WANTED._replace(sampled=False), 100)
