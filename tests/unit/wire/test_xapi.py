"""What xAPI's words mean."""

import pytest

from wire import xapi
from wire.events import Kind


@pytest.mark.parametrize(
    ("iri", "word"),
    [
        ("https://w3id.org/xapi/video/verbs/played", "played"),
        ("http://id.tincanapi.com/verb/viewed/", "viewed"),
        ("http://adlnet.gov/expapi/verbs/ASKED", "asked"),
        ("https://example.org/verbs#ran", "ran"),
        ("urn:x", "urn:x"),
    ],
)
def test_the_last_word_of_a_verb_decides(iri: str, word: str) -> None:
    assert xapi.word(iri) == word


def test_some_verbs_say_something_else_of_a_video() -> None:
    assert (xapi.kind("completed", True), xapi.kind("completed", False)) == (Kind.VIDEO_COMPLETED, Kind.TASK_COMPLETED)
    assert (xapi.kind("played", False), xapi.kind("follow", True)) == (Kind.VIDEO_PLAYED, Kind.OTHER)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0S", 0.0), ("PT8.25S", 8.25), ("PT8,25S", 8.25), ("P0DT1S", 1.0), ("P1D", 86_400.0), ("PT1H2M3S", 3723.0),
        ("PT24H0.5S", None), ("P1W", None), ("P3D", None), ("P1Y", None), ("P1M", None), ("P1Y1D", None),
        ("PT", None), ("P", None), ("", None), ("1h", None), ("PT-3S", None), ("P1DT", None), ("PT1S ", None),
    ],
)  # fmt: skip
def test_durations_are_seconds_up_to_a_day(text: str, seconds: float | None) -> None:
    assert xapi.duration_s(text) == seconds


@pytest.mark.parametrize(
    ("score", "share"),
    [
        ((0.75, None, None, None), 0.75),
        ((0, 9, 0, 10), 0.0),
        ((None, 5, 0, 10), 0.5),
        ((None, 5, None, 10), None),
        ((None, 5, 5, 5), None),
        ((None, 50, 0, 10), None),
        ((-0.5, None, None, None), None),
    ],
)
def test_a_score_is_a_share_or_nothing(score: tuple[float | None, ...], share: float | None) -> None:
    assert xapi.share(*score) == share
