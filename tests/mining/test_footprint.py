"""Footprints: while rays are few, each colour is the mean over the part of the image that its ray stands for."""

import math

import pytest
import torch

from softmining_nerfstudio.mining.footprint import Footprint, mean_colour
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import Packed


def ramp(height=60, width=80):
    """An image whose colours encode their row, their column and a checkerboard."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([row / height, column / width, ((row + column) % 2).float()], -1)


def colours(images, pixel, side, generator):
    """The colours of rays through these pixels of the first image, with footprints of this side."""
    slot = torch.zeros(len(pixel), dtype=torch.long)
    return Footprint(1.0).colours(images, slot, pixel, torch.full((len(pixel),), float(side)), generator)


def test_the_side_is_the_distance_between_rays_that_are_spread_over_one_image():
    pixels = torch.tensor([30 * 40, 300 * 400])
    torch.testing.assert_close(Footprint(1.0).side(pixels, 1200, 1.0), torch.tensor([1.0, 10.0]))
    torch.testing.assert_close(Footprint(9.0).side(pixels, 1200, 1.0), torch.tensor([3.0, 30.0]))
    torch.testing.assert_close(Footprint(9.0).side(pixels, 120_000, 1.0), torch.tensor([0.3, 3.0]))
    torch.testing.assert_close(Footprint(9.0).side(pixels, 1200, 0.25), torch.tensor([1.5, 15.0]))
    assert (Footprint(0.0).side(pixels, 1, 1.0) == 0).all()


@pytest.mark.parametrize("side", [1.5, 3, 9, 20])
def test_a_colour_is_the_mean_over_the_square_around_the_pixel(generator, side):
    images, pixel = Images(torch.arange(1), ramp()[None]), torch.tensor([30, 40]).expand(4000, 2)
    found = colours(images, pixel, side, generator)
    # row and column: on average the pixel's own, and for each ray close to it
    torch.testing.assert_close(found.mean(0), torch.tensor([30 / 60, 40 / 80, found[:, 2].mean()]), atol=2e-3, rtol=0)
    assert (found[:, :2] * torch.tensor([60, 80]) - torch.tensor([30, 40])).abs().max() <= side / 8 + 1
    if side > 4:  # detail that is finer averages out
        assert found[:, 2].mean() == pytest.approx(0.5, abs=0.03)
        assert found[:, 2].std() < 0.5 / math.sqrt(8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
def test_a_footprint_within_the_pixel_has_its_colour(generator, dtype):
    pixels = (torch.rand((1, 8, 9, 3), generator=generator) * 255).to(dtype)
    pixel = torch.cartesian_prod(torch.arange(8), torch.arange(9))
    found = colours(Images(torch.arange(1), pixels), pixel, 0.9, generator)
    assert torch.equal(found, pixels[0, pixel[:, 0], pixel[:, 1]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
def test_a_mean_is_of_the_type_of_the_images(generator, dtype):
    pixels = torch.full((1, 8, 9, 3), 200 if dtype == torch.uint8 else 0.8, dtype=dtype)
    found = colours(Images(torch.arange(1), pixels), torch.tensor([[4, 4]]), 3, generator)
    assert found.dtype == dtype
    torch.testing.assert_close(found, pixels[0, :1, 0])


def test_the_pixel_s_row_and_column_stand_in_for_those_outside_of_the_image(generator):
    pixel = torch.cartesian_prod(torch.tensor([0, 59]), torch.tensor([0, 79])).repeat(2000, 1)
    found = colours(Images(torch.arange(1), ramp()[None]), pixel, 16, generator)[:, :2]
    # eight and a half of sixteen rows are inside; the first row stands in for the others
    inwards = (sum(range(8)) + 8 / 2) / 16
    expected = torch.where(pixel == 0, inwards, pixel - inwards) / torch.tensor([60, 80])
    for corner in pixel[:4]:
        of_it = (pixel == corner).all(-1)
        torch.testing.assert_close(found[of_it].mean(0), expected[of_it][0], atol=4e-3, rtol=0)


def test_the_pixel_stands_in_for_those_that_are_masked_out(generator):
    masks = torch.ones(1, 60, 80, 1)
    masks[:, :, 40:] = 0
    pixels = ramp()[None] * masks  # black there
    found = colours(Images(torch.arange(1), pixels, masks), torch.tensor([[30, 39]]).repeat(2000, 1), 9, generator)
    columns = [35, 36, 37, 38, 39, *[39] * 4]
    assert found[:, 1].mean() == pytest.approx(sum(columns) / 9 / 80, abs=1e-3)
    assert found[:, 1].min() >= 35 / 80
    alone = torch.zeros(1, 60, 80, 1)
    alone[0, 30, 39] = 1
    found = colours(Images(torch.arange(1), ramp()[None], alone), torch.tensor([[30, 39]]).repeat(50, 1), 60, generator)
    torch.testing.assert_close(found, ramp()[30, 39].expand(50, 3))


def test_nothing_outside_of_a_fisheye_circle_counts(generator):
    images = Images(torch.arange(1), ramp()[None], crop_radius=20.0)
    found = colours(images, torch.tensor([[30, 59]]).repeat(2000, 1), 16, generator)
    assert (found[:, 1] * 80).max() < 60


def test_the_mean_of_rgba_blends_as_its_samples_do(generator):
    rgba = torch.rand((50, 16, 4), generator=generator)
    mean = mean_colour(rgba)
    for background in (0.0, 0.3, 1.0):
        blended = rgba[..., :3] * rgba[..., 3:] + background * (1 - rgba[..., 3:])
        torch.testing.assert_close(mean[:, :3] * mean[:, 3:] + background * (1 - mean[:, 3:]), blended.mean(1))
    assert (mean_colour(torch.zeros(1, 16, 4)) == 0).all()  # transparent


def test_images_of_mixed_sizes_have_footprints_of_their_own(generator):
    images = Images(torch.arange(2), Packed.move([ramp(), ramp(6, 8)]))
    slot, pixel = (
        torch.tensor([0, 1]).repeat_interleave(500),
        torch.tensor([[30, 40], [3, 4]]).repeat_interleave(500, 0),
    )
    footprint = Footprint(1.0)
    side = footprint.side(images.sizes[slot].prod(-1), 48, 1.0)
    assert side.unique().tolist() == [1.0, 10.0]
    found = footprint.colours(images, slot, pixel, side, generator)
    torch.testing.assert_close(found[500:], ramp(6, 8)[3, 4].expand(500, 3))
    assert 0 < found[:500, 0].std() < 10 / 60


@pytest.mark.parametrize("coverage", [-1.0, math.inf, math.nan])
def test_an_impossible_coverage_is_named_with_its_value(coverage):
    with pytest.raises(ValueError, match=f"coverage is {coverage}; expected"):
        Footprint(coverage)


def test_wide_footprints_are_looked_up_in_coarser_images(generator):
    """They are black and the others white, so that a colour tells where it was looked up."""
    coarser = Images(torch.arange(2), torch.zeros(2, 15, 20, 3))
    images = Images(torch.arange(2), torch.ones(2, 60, 80, 3), coarser=coarser)
    slot, pixel = torch.tensor([0, 1, 1, 0]), torch.tensor([[0, 0], [59, 79], [30, 40], [7, 9]])
    side = torch.tensor([15.9, 16.1, 500.0, 1.0])
    assert Footprint(1.0).colours(images, slot, pixel, side, generator)[:, 0].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("side", [16, 24])
def test_a_wide_footprint_has_the_same_mean_in_coarser_images(generator, side):
    fine = ramp()[None]
    blocks = fine.view(1, 15, 4, 20, 4, 3).mean((2, 4))
    images, pixel = Images(torch.arange(1), fine), torch.tensor([30, 40]).expand(4000, 2)
    coarse = Images(torch.arange(1), fine, coarser=Images(torch.arange(1), blocks))
    found, there = (colours(of, pixel, side, generator) for of in (images, coarse))
    torch.testing.assert_close(there.mean(0), found.mean(0), atol=0.02, rtol=0)
    assert there[:, 2].std() < 0.01 < found[:, 2].std()  # the checkerboard is a mean already
