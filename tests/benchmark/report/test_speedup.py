"""The arithmetic of speed-ups, against cases worked by hand."""

import math

import pytest

from softmining_nerfstudio.benchmark.report.speedup import (
    Between,
    Curve,
    exactly,
    mean,
    psnr_at,
    seed_range,
    speed_up,
    time_to_reach,
)

RISING = Curve((10, 20, 40), (20.0, 24.0, 26.0))
NEITHER = Between(0.0, math.inf)


@pytest.mark.parametrize(
    ("target", "time"),
    [
        (22.0, 15.0),  # half of the way from 10 to 20
        (25.5, 35.0),  # three quarters of the way from 20 to 40
        (24.0, 20.0),  # a tie at a measurement
        (26.0, 40.0),  # a tie at the end
        (26.01, None),  # never
        (20.0, 10.0),  # a tie at the start
        (15.0, 10.0),  # above from the start: at the first measurement, nothing before it was measured
    ],
)
def test_a_rising_curve_reaches_a_target_once(target: float, time: float | None) -> None:
    assert time_to_reach(RISING, target) == pytest.approx(time)


def test_a_curve_that_crosses_twice_counts_from_its_last_crossing() -> None:
    curve = Curve((0, 10, 20, 30), (20.0, 26.0, 22.0, 30.0))
    assert time_to_reach(curve, 24.0) == pytest.approx(22.5)  # not 6.67
    assert time_to_reach(curve, 22.0) == pytest.approx(10 / 3)  # it touches 22 at step 20, and is not below


def test_a_curve_that_ends_below_has_not_reached_the_target_though_it_was_above() -> None:
    assert time_to_reach(Curve((0, 10, 20), (20.0, 26.0, 23.0)), 24.0) is None


def test_a_curve_that_is_above_and_dips_counts_from_the_dip() -> None:
    assert time_to_reach(Curve((0, 10, 20), (25.0, 23.0, 27.0)), 24.0) == pytest.approx(12.5)


def test_a_falling_curve_reaches_what_it_ends_at() -> None:
    assert time_to_reach(Curve((5, 10), (25.0, 23.0)), 23.0) == 5


def test_a_single_measurement() -> None:
    assert time_to_reach(Curve((7,), (25.0,)), 25.0) == 7
    assert time_to_reach(Curve((7,), (25.0,)), 25.1) is None


@pytest.mark.parametrize(
    ("times", "psnr"),
    [((), ()), ((1, 2), (20.0,)), ((1, 1), (20.0, 21.0)), ((2, 1), (20.0, 21.0)), ((1, 2), (20.0, math.nan))],
)
def test_a_curve_without_order_or_numbers_is_refused(times: tuple[float, ...], psnr: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="curve"):
        Curve(times, psnr)


def test_psnr_at_a_time_is_never_extrapolated() -> None:
    assert psnr_at(RISING, 9.9) is None
    assert psnr_at(RISING, 30) == pytest.approx(25.0)
    assert psnr_at(RISING, 1000) == 26.0


def test_speed_up_with_different_measurement_times() -> None:
    quick = Curve((4, 16), (20.0, 26.0))
    assert speed_up(RISING, quick, 25.0) == exactly(30 / 14)  # 30 on one, 4 + 12 * 5/6 = 14 on the other
    assert speed_up(quick, RISING, 25.0) == exactly(14 / 30)
    assert speed_up(RISING, RISING, 25.0) == exactly(1)


def test_a_speed_up_that_was_not_reached_is_bounded_and_not_extrapolated() -> None:
    slow = Curve((10, 60), (20.0, 25.0))
    assert speed_up(RISING, slow, 26.0) == Between(0, 40 / 60)  # later than 60, so less than 40 / 60
    assert speed_up(slow, RISING, 26.0) == Between(60 / 40, math.inf)
    assert speed_up(RISING, slow, 27.0) == NEITHER


def test_what_is_reached_before_the_first_step() -> None:
    start = Curve((0, 10), (25.0, 26.0))
    assert speed_up(start, start, 25.0) == exactly(1)
    assert speed_up(RISING, start, 25.0) == exactly(math.inf)
    assert speed_up(start, RISING, 25.0) == exactly(0)


def test_median_and_range_over_seeds() -> None:
    found = seed_range([exactly(3), exactly(1), exactly(2)])
    assert found is not None
    assert (found.median, found.least, found.most) == (exactly(2), exactly(1), exactly(3))
    assert (found.known, found.seeds) == (3, 3)
    assert seed_range([]) is None


def test_a_median_is_known_where_the_bounded_seeds_do_not_matter_to_it() -> None:
    found = seed_range([Between(0, 1.4), exactly(2), exactly(1.5)])
    assert found is not None
    assert (found.median, found.known, found.seeds) == (exactly(1.5), 2, 3)
    assert (found.least, found.most) == (Between(0, 1.4), exactly(2))


def test_a_median_is_bounded_where_they_do() -> None:
    found = seed_range([Between(0, 1.9), exactly(2), exactly(1.5)])
    assert found is not None
    assert (found.median, found.least, found.most) == (Between(1.5, 1.9), Between(0, 1.5), exactly(2))


def test_a_median_is_not_reached_where_most_seeds_did_not() -> None:
    found = seed_range([Between(0, 0.8), Between(0, 0.9), exactly(2)])
    assert found is not None
    assert (found.median, found.known) == (Between(0, 0.9), 1)


def test_of_two_seeds_both_must_reach_it() -> None:
    found = seed_range([Between(0, 0.8), exactly(2)])
    assert found is not None
    assert not found.median.known
    assert found.median.high == pytest.approx(1.4)


def test_what_only_the_method_reached_is_not_taken_for_infinitely_sooner() -> None:
    found = seed_range([Between(1.5, math.inf), exactly(2), exactly(3)])
    assert found is not None
    assert (found.least, found.median, found.most) == (Between(1.5, 2), Between(2, 3), Between(3, math.inf))


def test_means_over_scenes() -> None:
    assert mean([exactly(1), exactly(4)], geometric=True) == exactly(2)
    assert mean([exactly(1), exactly(4)], geometric=False) == exactly(2.5)
    assert mean([Between(0, 1), exactly(4)], geometric=True) == Between(0, 2)


def test_the_mean_of_what_was_reached_before_the_first_step_and_of_what_was_not_is_open() -> None:
    start, later = Curve((0, 10), (25.0, 26.0)), Curve((0, 10), (20.0, 26.0))
    scenes = [speed_up(start, later, 24.0), speed_up(later, start, 24.0)]
    assert scenes == [exactly(0), exactly(math.inf)]
    assert mean(scenes, geometric=True) == Between(0, math.inf)
    assert mean([Between(0, 2), Between(3, math.inf)], geometric=True) == Between(0, math.inf)
