"""What is made of what was measured: pauses, steps, tables and plots."""

from xml.etree import ElementTree

from bench import growth, report
from bench.rebalance import pause_s


def test_a_pause_is_the_longest_silence_of_any_partition() -> None:
    steady = list(range(0, 60_000, 100))
    paused = [time_ms for time_ms in steady if not 21_000 < time_ms < 24_000]
    assert pause_s({0: steady, 1: paused, 2: steady}, 20_000, 40_000) == (3.0, 0.1)
    assert pause_s({0: steady, 1: paused, 2: steady}, 30_000, 40_000) == (0.1, 0.1)


def test_a_silence_counts_in_whole_though_it_began_before_or_ends_behind_what_is_watched() -> None:
    assert pause_s({0: [0, 9_000, 10_000, 31_000]}, 20_000, 30_000) == (21.0, 21.0)
    assert pause_s({0: [0, 25_000]}, 20_000, 30_000) == (25.0, 25.0)


def test_a_partition_that_is_not_heard_of_again_stands_still_to_the_end() -> None:
    assert pause_s({0: [0, 1_000]}, 2_000, 30_000) == (29.0, 29.0)
    assert pause_s({0: []}, 2_000, 30_000) == (28.0, 28.0)


def test_the_steepest_step_is_between_neighbours() -> None:
    rates = {(p, s): 100.0 for p in growth.PARTITIONS for s in growth.STUDENTS}
    assert growth.steepest(rates) == 1.0
    rates[growth.PARTITIONS[2], growth.STUDENTS[2]] = 40.0
    assert growth.steepest(rates) == 2.5


def test_plots_are_well_formed_whatever_the_names() -> None:
    drawn = report.bars("a < b", {"x & y": 10.0, "none": 0.0}, "events/s")
    ElementTree.fromstring(drawn)
    drawn = report.lines("a < b", {"x & y": [(1.0, 2.0), (1000.0, 1.0)], "one": [(5.0, 0.0)]}, "keys", "events/s")
    ElementTree.fromstring(drawn)


def test_figures_take_the_place_of_the_last_ones() -> None:
    readme = f"# Benchmarks\n\n{report.FIGURES}\nold\n"
    once = report.collected(readme, ["### A\n\n![a](a.svg)\n"])
    assert once.endswith("### A\n\n![a](results/a.svg)\n")
    assert "old" not in once
    assert report.collected(once, ["### A\n\n![a](a.svg)\n"]) == once
    assert report.collected("no place for them\n", ["### A\n"]) == "no place for them\n"
