"""How much of a batch is uniform."""

import re

import pytest

from softmining_nerfstudio.mining.uniform_share import UniformShare


def test_it_falls_from_half_of_the_batch_to_the_fraction():
    assert [UniformShare(0.15, 5).at(step) for step in range(6)] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.15, 0.15])


def test_a_fraction_above_a_half_stays():
    assert [UniformShare(0.7, 5).at(step) for step in range(6)] == [0.7] * 6


def test_without_a_warm_up_it_is_the_fraction():
    assert [UniformShare(0.1, 0).at(step) for step in (0, 1, 10**6)] == [0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("fraction", "warmup_steps", "named"),
    [(1.5, 0, "fraction is 1.5"), (float("nan"), 0, "fraction is nan"), (0.1, -1, "warmup_steps is -1")],
)
def test_bad_settings_are_named(fraction, warmup_steps, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        UniformShare(fraction, warmup_steps)
