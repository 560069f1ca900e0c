"""Walkers tell over how much of the images the error is spread."""

import math

import pytest
import torch

from softmining_nerfstudio.mining.strategies.spread import START, SpreadEstimate


def fed(uniform, walkers, batches=300):
    spread = SpreadEstimate()
    for _ in range(batches):
        spread.update(torch.tensor(uniform), torch.tensor(walkers))
    return spread


@pytest.mark.parametrize(("uniform", "walkers", "expected"), [(0.1, 0.2, 1 / 2), (0.1, 0.4, 1 / 4), (0.3, 0.4, 3 / 4)])
def test_it_is_the_ratio_of_the_mean_errors(uniform, walkers, expected):
    spread = fed([uniform / 2, 1.5 * uniform], [walkers] * 5)
    assert spread.value == pytest.approx(expected, rel=1e-3)


def test_it_is_at_most_all_of_the_images():
    assert fed([0.2], [0.1]).value == SpreadEstimate(torch.zeros(2)).value == 1


def test_a_quarter_of_the_images_is_assumed_until_the_batches_tell_otherwise():
    assert SpreadEstimate().value == START[0] / START[1] == 1 / 4
    assert fed([0.3], [0.3], batches=5).value < 0.4 < fed([0.3], [0.3], batches=60).value


@pytest.mark.parametrize(
    ("uniform", "walkers"), [([], [0.1]), ([0.1], []), ([math.nan], [0.1]), ([0.1], [math.nan, math.nan])]
)
def test_a_batch_that_cannot_tell_changes_nothing(uniform, walkers):
    spread = SpreadEstimate()
    spread.update(torch.tensor(uniform), torch.tensor(walkers))
    assert spread.errors.tolist() == list(START)


def test_rays_without_a_finite_error_are_left_out():
    spread, without = SpreadEstimate(), SpreadEstimate()
    spread.update(torch.tensor([0.1, math.nan, 0.3]), torch.tensor([math.nan, 0.5]))
    without.update(torch.tensor([0.1, 0.3]), torch.tensor([0.5]))
    torch.testing.assert_close(spread.errors, without.errors)
