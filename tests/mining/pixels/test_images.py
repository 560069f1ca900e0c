"""The loaded images: their sizes and brightness, what may be drawn of them, and the area of a pixel."""

import pytest
import torch
from pixel_stacks import some_pixels, stack

from softmining_nerfstudio.mining.pixels.images import Images, luminance
from softmining_nerfstudio.mining.pixels.values import Packed


def test_sizes_of_a_stack_and_of_a_list_are_height_and_width():
    assert Images(torch.arange(2), torch.zeros(2, 4, 6, 3)).sizes.tolist() == [[4, 6], [4, 6]]
    mixed = Images(torch.arange(2), Packed.move([torch.zeros(4, 6, 3), torch.zeros(9, 2, 3)]))
    assert mixed.sizes.tolist() == [[4, 6], [9, 2]]
    assert len(mixed) == 2


def test_grey_is_the_brightness_at_each_pixel(generator):
    pixels = stack(generator)
    slot, row, column = some_pixels(generator, (4, 5))
    grey = Images(torch.arange(3), pixels).grey(slot, row, column)
    torch.testing.assert_close(grey, pixels[slot, row, column].mean(-1))


def test_bytes_and_floats_have_the_same_luminance(generator):
    colours = torch.randint(256, (9, 4), generator=generator, dtype=torch.uint8)
    torch.testing.assert_close(luminance(colours), luminance(colours.float() / 255))


def test_an_opaque_colour_is_as_bright_as_without_its_alpha(generator):
    colours = torch.rand((9, 3), generator=generator)
    torch.testing.assert_close(luminance(torch.cat([colours, torch.ones(9, 1)], -1)), luminance(colours))


def test_a_transparent_colour_is_white_whatever_its_colour(generator):
    colours = torch.rand((9, 3), generator=generator)
    torch.testing.assert_close(luminance(torch.cat([colours, torch.zeros(9, 1)], -1)), torch.ones(9))


def test_half_transparent_black_is_half_as_bright_as_white():
    assert luminance(torch.tensor([0, 0, 0, 0.5])) == 0.5


def test_without_masks_every_pixel_is_allowed(generator):
    images = Images(torch.arange(3), stack(generator))
    assert images.allowed(*some_pixels(generator, (4, 5))).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
@pytest.mark.parametrize("packed", [False, True])
def test_masks_allow_where_they_are_not_zero(generator, dtype, packed):
    masks = (stack(generator, channels=1) < 0.5).to(dtype)
    images = Images(torch.arange(3), stack(generator), Packed.move(list(masks)) if packed else masks)
    slot, row, column = some_pixels(generator, (50,))
    assert images.allowed(slot, row, column).tolist() == [bool(masks[i]) for i in zip(slot, row, column, strict=True)]


def test_images_are_views_of_what_is_loaded(generator):
    pixels, masks = stack(generator), stack(generator, channels=1)
    images = Images(torch.arange(3), pixels, masks)
    assert images.pixels is pixels
    assert images.masks is masks


def test_only_pixels_within_the_fisheye_circle_are_allowed():
    size, radius = (9, 12), 4.0
    images = Images(torch.arange(1), torch.zeros(1, *size, 3), crop_radius=radius)
    row, column = (grid.flatten() for grid in torch.meshgrid(*map(torch.arange, size), indexing="ij"))
    expected = [(r + 0.5 - 4) ** 2 + (c + 0.5 - 6) ** 2 <= 16 for r, c in zip(row, column, strict=True)]
    assert images.allowed(torch.zeros_like(row), row, column).tolist() == expected
    assert images.allowed_in(0, range(9), range(12)).flatten().tolist() == expected


def test_a_window_of_a_mask_agrees_with_its_pixels(generator):
    masks = stack(generator, channels=1) < 0.5
    images = Images(torch.arange(3), stack(generator), masks, crop_radius=3.0)
    window = images.allowed_in(1, range(1, 4), range(2, 7))
    row, column = torch.meshgrid(torch.arange(1, 4), torch.arange(2, 7), indexing="ij")
    assert torch.equal(window, images.allowed(torch.ones_like(row), row, column))


@pytest.mark.parametrize("height", [1, 2, 9, 3000])
def test_the_rows_of_a_panorama_count_by_their_solid_angle(height):
    images = Images(torch.arange(1), torch.zeros(1).expand(1, height, 2 * height, 3), equirectangular=True)
    area = images.area(torch.tensor(0), torch.arange(height))
    polar = torch.arange(height + 1, dtype=torch.float64) * torch.pi / height
    expected = (polar[:-1].cos() - polar[1:].cos()) * height / 2
    torch.testing.assert_close(area.double(), expected, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(area.mean(), torch.tensor(1.0))
