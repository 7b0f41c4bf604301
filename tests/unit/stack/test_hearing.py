"""When a child that does not answer is given up."""

from stack.hearing import ASK_EVERY_S, Hearing


def given_up_at(answers: str, step_s: float = 3.0, deaf_after_s: float = 8.0) -> int | None:
    """Which of these answers ("." one, "x" none), `step_s` apart, is one too many; None: none is."""
    hearing = Hearing(deaf_after_s)
    for number, answer in enumerate(answers):
        if hearing.heard(answer == ".", number * step_s):
            return number
    return None


def test_one_that_answers_is_kept() -> None:
    assert given_up_at("." * 1_000) is None


def test_without_an_answer_for_so_long_it_is_given_up() -> None:
    assert given_up_at("..xxxxx") == 4  # at 6, 9 and 12 s: nothing was heard since 3


def test_an_answer_between_two_begins_anew() -> None:
    assert given_up_at(".xx.xx.xx.") is None


def test_what_the_first_question_does_not_get_has_not_lasted_yet() -> None:
    assert given_up_at("xxxxx") == 3


def test_time_in_which_nobody_asked_says_little() -> None:
    hearing = Hearing(45.0)
    assert not hearing.heard(True, 0)
    assert not hearing.heard(False, 100_000)  # the launcher was stopped, or the machine slept
    assert hearing.deaf_s < 45 / 2


def test_it_is_asked_every_few_seconds_and_at_once_when_it_was_started_anew() -> None:
    hearing = Hearing(45.0)
    assert hearing.is_due(10)
    hearing.heard(True, 10)
    assert not hearing.is_due(10 + ASK_EVERY_S / 2)
    assert hearing.is_due(10 + ASK_EVERY_S)
    hearing.began()
    assert hearing.is_due(10)
