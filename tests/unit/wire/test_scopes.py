"""Scopes and their text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.scopes import Scope, ScopeKind

_text = st.text(min_size=1)
_no_slash = _text.filter(lambda text: "/" not in text)


@given(
    st.one_of(
        st.builds(Scope.student, _text),
        st.builds(Scope.course, _text),
        st.builds(Scope.team, _text, _no_slash),
        st.just(Scope.school()),
    )
)
def test_a_scope_survives_its_text(scope: Scope) -> None:
    assert Scope.parse(str(scope)) == scope


def test_ids_may_hold_the_separators() -> None:
    assert str(Scope.team("math/2025:a", "t1")) == "team:math/2025:a/t1"
    assert Scope.parse("student:mailto:a@example.org") == (ScopeKind.STUDENT, "mailto:a@example.org")


def test_there_is_one_school() -> None:
    assert str(Scope.school()) == "school:all"
    assert Scope.parse("school:all") == (ScopeKind.SCHOOL, "all")


@given(_text, _no_slash, _text, _no_slash)
def test_different_teams_have_different_texts(course: str, team: str, other_course: str, other_team: str) -> None:
    same = (course, team) == (other_course, other_team)
    assert (Scope.team(course, team) == Scope.team(other_course, other_team)) is same


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no scope"),
        ("student", "no scope"),
        ("student:", "no scope"),
        (":x", "no kind"),
        ("pupil:x", "'pupil' is no kind"),
        ("Student:x", "no kind"),
        ("team:x", "names no course"),
        ("team:/t", "names no course"),
        ("team:c/", "names no course"),
        ("school:", "no scope"),
        ("school:north", "there is one school"),
    ],
)
def test_a_text_that_is_no_scope_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Scope.parse(text)
