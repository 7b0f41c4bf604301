from bench import untimed


def test_the_loop_without_event_time_and_duplicates_is_the_real_one_less_these_lines() -> None:
    left = untimed.take()
    compile(left, "take", "exec")
    assert "hash_of" not in left
    assert "late.append" not in left
    assert "learner.counted += counted" in left
