"""What is wrong in one look only is not told."""

from gateway.oncall.lasting import SURE_S, Lasting
from gateway.oncall.reasons import Level, Reason

SURE_MS = int(SURE_S * 1000)


def away(name: str) -> Reason:
    return Reason(about=name, level=Level.DEGRADED, rank=1, says=f"{name} is away", section="server_away")


def test_one_slow_answer_is_no_outage_and_one_that_stays_away_is_told() -> None:
    lasting = Lasting()
    assert lasting.told([away("redis")], 1_000) == []
    assert lasting.told([], 3_000) == []
    assert lasting.told([away("redis")], 5_000) == []
    assert lasting.told([away("redis"), away("kafka")], 5_000 + SURE_MS) == [away("redis")]
    assert lasting.told([away("kafka")], 5_000 + 2 * SURE_MS) == [away("kafka")]
    assert lasting.told([away("redis")], 6_000 + 2 * SURE_MS) == []
