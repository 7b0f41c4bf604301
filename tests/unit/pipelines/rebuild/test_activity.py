"""From when on nothing of the topic is missing."""

from batching.unpack import Portable
from pipelines.rebuild.activity import Activity, Stretch

WARM_UP_MS, RETENTION_MS = 100, 1_000


def activity(*stretches: Stretch, **begins_ms: int) -> Activity:
    """`begins_ms`: p0, p1, … → timestamp of the first record that was read."""
    one = Activity(None, None, Portable(), dict(enumerate(stretches)), asked_ms=50_000)
    one.begins_ms = {int(name[1:]): at_ms for name, at_ms in begins_ms.items()}
    return one


def whole_from_ms(of: Activity) -> int:
    return of.whole_from_ms(WARM_UP_MS, RETENTION_MS)


def test_where_nothing_was_deleted_that_would_have_been_read_all_is_whole() -> None:
    whole = Stretch(5, 9, is_cut=False)
    assert whole_from_ms(activity(whole, whole, p0=49_500, p1=49_900)) == 0


def test_a_window_is_whole_where_its_warm_up_is_of_every_partition() -> None:
    whole, cut = Stretch(5, 9, is_cut=False), Stretch(5, 9, is_cut=True)
    assert whole_from_ms(activity(whole, cut, cut, p0=49_999, p1=49_200, p2=49_300)) == 49_300 + WARM_UP_MS


def test_a_partition_that_has_lost_everything_lost_it_to_its_retention() -> None:
    assert whole_from_ms(activity(Stretch(9, 9, is_cut=True))) == 49_000 + WARM_UP_MS
