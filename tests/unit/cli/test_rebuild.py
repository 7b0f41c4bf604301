"""What `classpulse rebuild` makes of its options, before anything is asked."""

from pathlib import Path
from typing import Any

import pytest
import typer

from cli.rebuild import order, scope_text
from wire import rebuild
from wire.rebuild import Order

NOW_MS = 1_768_471_200_000
GIVEN: dict[str, Any] = {"show": 20, "json": False, "shadow": None, "why": "", "replace": False}


def made(from_ms: int = NOW_MS - 10_000, to_ms: int | None = None, **given: Any) -> Order:
    return order(from_ms, to_ms, given.pop("scopes", []), NOW_MS, **GIVEN | given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"from_ms": NOW_MS + 1}, "--from lies in the future"),
        ({"from_ms": -1}, "--from lies before 1970"),
        ({"to_ms": NOW_MS + 1}, "--to lies in the future"),
        ({"to_ms": NOW_MS - 10_000}, "--to does not lie behind --from"),
        ({"replace": True}, "--replace needs --why"),
        ({"why": "because"}, "--why goes with --replace"),
        ({"shadow": Path(__file__)}, "is there already"),
        ({"shadow": Path("/nowhere/at/all")}, "has no folder"),
    ],
)
def test_what_cannot_be_meant_is_said(given: dict[str, Any], said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        made(**given)


def test_what_is_ordered_arrives_as_it_was_given(tmp_path: Path) -> None:
    given = made(
        to_ms=NOW_MS, scopes=["course:生徒"], shadow=tmp_path / "s.db", why="x", replace=True, json=True, show=3
    )
    assert rebuild.decode(rebuild.encode(given)) == given
    assert (given.scopes, given.shadow, given.why, bool(given.by)) == (
        ["course:生徒"],
        str(tmp_path / "s.db"),
        "x",
        True,
    )
    assert rebuild.decode(rebuild.encode(made())) == made()


@pytest.mark.parametrize("text", ["nonsense", "course:", "team:t1", "school:none", "course:a\x00", "student:a\\"])
def test_what_is_no_scope_is_said(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        scope_text(text)
    assert scope_text("team:c/t1") == "team:c/t1"
