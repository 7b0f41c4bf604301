"""Which scopes may be asked for."""

import pytest

from gateway.live.endpoint import SCOPES_MAX, scopes_asked


def test_scopes_are_taken_once_each_in_their_order() -> None:
    assert scopes_asked(["team:c/t", "course:c", "team:c/t"]) == ["team:c/t", "course:c"]
    assert len(scopes_asked([f"student:{n}" for n in range(SCOPES_MAX)])) == SCOPES_MAX


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no scope"),
        ([""], "is no scope"),
        (["course:"], "is no scope"),
        (["class:c"], "'class' is no kind of scope"),
        (["team:t"], "names no course"),
        (["course:c", "nonsense"], "'nonsense' is no scope"),
        ([f"student:{n}" for n in range(SCOPES_MAX + 1)], "65 scopes: expected at most 64"),
        (["student:" + "x" * 10_000], "a scope of 10008 characters"),
    ],
)
def test_what_is_wrong_is_said(given: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scopes_asked(given)
