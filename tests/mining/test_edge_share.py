"""How many rays are on edges, by what walkers find."""

import math

import pytest
import torch

from softmining_nerfstudio.mining.edge_share import FADING, MOST, START, EdgeShare


def fed(uniform, walkers, batches=300):
    share = EdgeShare()
    for _ in range(batches):
        share.update(torch.tensor(uniform), torch.tensor(walkers))
    return share


@pytest.mark.parametrize(
    ("uniform", "walkers", "expected"), [(0.1, 0.2, 1 / 4), (0.1, 0.4, 1 / 16), (0.3, 0.33, 1 / 1.21)]
)
def test_it_is_the_square_of_the_ratio_of_the_mean_errors(uniform, walkers, expected):
    share = fed([uniform / 2, 1.5 * uniform], [walkers] * 5)
    assert share.value == pytest.approx(expected, rel=1e-3)


def test_walkers_are_never_given_up():
    assert fed([0.2], [0.1]).value == EdgeShare(torch.zeros(2)).value == MOST < 1


def test_nearly_all_rays_are_walkers_before_anything_is_known():
    assert EdgeShare().value == pytest.approx((START[0] / START[1]) ** 2)
    assert fed([0.3], [0.3], batches=5).value < 0.2 < fed([0.3], [0.3], batches=60).value


def test_batches_fade():
    share = fed([0.1], [0.2])
    before = share.errors
    share.update(torch.tensor([0.4]), torch.tensor([0.5]))
    torch.testing.assert_close(share.errors, FADING * before + torch.tensor([0.4, 0.5]))


@pytest.mark.parametrize(
    ("uniform", "walkers"), [([], [0.1]), ([0.1], []), ([math.nan], [0.1]), ([0.1], [math.nan, math.nan])]
)
def test_a_batch_that_cannot_tell_changes_nothing(uniform, walkers):
    share = EdgeShare()
    share.update(torch.tensor(uniform), torch.tensor(walkers))
    assert share.errors.tolist() == list(START)


def test_rays_without_a_finite_error_are_left_out():
    share = EdgeShare()
    share.update(torch.tensor([0.1, math.nan, 0.3]), torch.tensor([math.nan, 0.5]))
    torch.testing.assert_close(share.errors, FADING * torch.tensor(START) + torch.tensor([0.2, 0.5]))
