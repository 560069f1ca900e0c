"""The walk of diffusion Monte-Carlo: its steps are wide and follow no gradient; selection follows the error."""

import math

import pytest
import torch

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.edge_strength import Sobel
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.strategies.walking import Walking
from softmining_nerfstudio.mining.walks import Diffusion


@pytest.mark.parametrize("score", [None, torch.full((5000, 2), 9.0)])
def test_the_step_is_normal_with_its_deviation_relative_to_the_image(generator, score):
    walk = Diffusion(noise=0.02)
    size = torch.tensor([[3000, 12000], [2000, 8000]]).repeat(2500, 1)
    moved = walk.move(size / 2, size, score, generator) - size / 2  # a step of 12 deviations would leave it
    for image, length in ((0, 6000.0), (1, 4000.0)):
        torch.testing.assert_close(moved[image::2].std(0) / length, torch.full((2,), 0.02), rtol=0.05, atol=0)
        assert (moved[image::2].mean(0).abs() < 0.02 * length * 4 / math.sqrt(2500)).all()


def test_the_borders_of_an_image_do_not_empty(generator):
    """Moves that would leave the image are rejected. Where all pixels are alike, walkers visit all of them alike."""
    size = torch.tensor([60, 90]).expand(20000, 2)
    yx = torch.rand((20000, 2), generator=generator) * size
    for _ in range(20):
        yx = Diffusion().move(yx, size, None, generator)
        assert ((yx >= 0) & (yx < size)).all()
    shares = torch.bincount((yx[:, 0] / 6).long(), minlength=10) / 20000
    torch.testing.assert_close(shares, torch.full((10,), 0.1), atol=0.01, rtol=0)


def share_in_band(noise, respawn_fraction, generator, pixels, steps=80, count=1500):
    """Share of the rays in a quarter of the rows. Only there is an error."""
    images = Images(torch.arange(3), pixels)
    densities = Densities(3, Sobel())
    densities.see(images)
    strategy, shares = Walking(densities, generator, Diffusion(noise, respawn_fraction), edge_rays=False), []
    for _ in range(steps):
        slot, yx = strategy.draw(images, count)
        hard = (yx[:, 0] - 64).abs() < 16
        error = torch.where(hard, 0.5, 0.01)
        strategy.learn(Seen(images.ids[slot], yx, images.sizes[slot], error, error**2, None))
        shares.append(float(hard.float().mean()))
    return sum(shares[steps // 2 :]) / (steps - steps // 2)


def test_selection_alone_gathers_the_rays_where_the_error_is(generator):
    flat = torch.rand((3, 128, 128, 3), generator=generator)  # as sharp everywhere: respawning prefers no place
    assert share_in_band(0.05, 0.0, generator, flat) == pytest.approx(0.25, abs=0.1)
    assert share_in_band(0.05, 0.3, generator, flat) > 0.5


def test_more_walkers_live_where_the_error_is_the_finer_they_step(generator):
    flat = torch.rand((3, 128, 128, 3), generator=generator)
    fine, wide = (share_in_band(noise, 1 / 9, generator, flat) for noise in (0.02, 0.2))
    assert fine > wide + 0.05


@pytest.mark.parametrize(
    ("name", "value"), [("noise", -0.1), ("noise", math.nan), ("respawn_fraction", 1.5), ("respawn_fraction", math.nan)]
)
def test_an_impossible_setting_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=rf"\b{name} is {value}; expected"):
        Diffusion(**{name: value})
