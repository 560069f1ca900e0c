"""Pixels of stacks and lists of images: looked up as a naive loop does, in every format nerfstudio loads."""

import pytest
import torch

from softmining_nerfstudio.mining.pixels.images import Images, Packed, gather, luminance, per_pixel


def stack(generator, count=3, height=5, width=7, channels=3):
    return torch.rand((count, height, width, channels), generator=generator)


def some_pixels(generator, shape, count=3, height=5, width=7):
    return [torch.randint(bound, shape, generator=generator) for bound in (count, height, width)]


def test_sizes_of_a_stack_and_of_a_list_are_height_and_width():
    assert Images(torch.arange(2), torch.zeros(2, 4, 6, 3)).sizes.tolist() == [[4, 6], [4, 6]]
    mixed = Images(torch.arange(2), Packed.move([torch.zeros(4, 6, 3), torch.zeros(9, 2, 3)]))
    assert mixed.sizes.tolist() == [[4, 6], [9, 2]]
    assert len(mixed) == 2


@pytest.mark.parametrize("shape", [(11,), (4, 5), (2, 3, 4), (0,)])
@pytest.mark.parametrize("packed", [False, True])
def test_gather_agrees_with_a_naive_loop(generator, shape, packed):
    values = stack(generator)
    slot, row, column = some_pixels(generator, shape)
    found = gather(Packed.move(list(values)) if packed else values, slot, row, column)
    assert found.shape == (*shape, 3)
    flat = zip(slot.flatten(), row.flatten(), column.flatten(), found.reshape(-1, 3), strict=True)
    for s, r, c, colour in flat:
        assert torch.equal(colour, values[s, r, c])


LAYOUTS = {
    "channels first": lambda values: values.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1),
    "transposed": lambda values: values.transpose(1, 2).contiguous().transpose(1, 2),
    "a channel of them": lambda values: values[..., 2:],
    "some of them": lambda values: values[1:, ::2, 1:6:2],
    "overlapping": lambda values: values.as_strided((5, 4, 7, 3), (13 * 3, 7 * 3, 3, 1)),
    "all alike": lambda values: values[:1, :1, :1].expand(4, 6, 2, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_gather_reads_a_stack_however_it_lies_in_memory(generator, layout):
    values = layout(stack(generator))
    places = torch.cartesian_prod(*map(torch.arange, values.shape[:3]))
    assert torch.equal(gather(values, *places.unbind(-1)), values.flatten(0, 2))


def test_gather_broadcasts_its_indices(generator):
    values = stack(generator)
    slot, row, column = some_pixels(generator, (4, 6))
    for stacked in (values, Packed.move(list(values))):
        found = gather(stacked, slot[:, :1], row, column[:1])
        assert torch.equal(found, values[slot[:, :1], row, column[:1]])


def test_gather_reads_every_image_of_mixed_sizes(generator):
    values = [torch.rand((height, width, 1), generator=generator) for height, width in ((5, 7), (1, 1), (3, 20))]
    slot, row, column = torch.tensor([[0, 4, 6], [1, 0, 0], [2, 2, 19], [0, 0, 0]]).unbind(-1)
    expected = torch.stack([values[0][4, 6], values[1][0, 0], values[2][2, 19], values[0][0, 0]])
    assert torch.equal(gather(Packed.move(values), slot, row, column), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
def test_gather_keeps_the_type_of_the_values(dtype):
    zero = torch.zeros(1, dtype=torch.long)
    assert gather(Packed.move([torch.ones(2, 2, 3, dtype=dtype)]), zero, zero, zero).dtype == dtype


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


def test_packing_moves_the_images_and_leaves_views_of_them(generator):
    images = [torch.rand((height, width, 3), generator=generator) for height, width in ((5, 7), (1, 1), (3, 20))]
    copies = [image.clone() for image in images]
    packed = Packed.move(images)
    assert len(packed) == 3
    for slot, copy in enumerate(copies):
        assert torch.equal(images[slot], copy)
        assert torch.equal(packed[slot], copy)
        assert images[slot].untyped_storage().data_ptr() == packed.values.untyped_storage().data_ptr()


def test_images_of_mixed_channels_are_named_as_an_error():
    with pytest.raises(ValueError, match="alpha_color"):
        Packed.move([torch.zeros(2, 2, 3), torch.zeros(2, 3, 4)])


def test_what_is_held_for_each_pixel_has_the_size_of_the_images():
    same, mixed = torch.tensor([[4, 6], [4, 6]]), torch.tensor([[4, 6], [9, 2]])
    assert per_pixel(torch.zeros(2, 4, 6, 1), same)
    assert per_pixel(torch.zeros(2, 4, 6), same)
    assert per_pixel([torch.zeros(4, 6, 1), torch.zeros(9, 2, 1)], mixed)
    assert per_pixel([torch.zeros(4, 6, 1), torch.zeros(4, 6, 1)], same)
    half = [torch.zeros(2, 3, 1), torch.zeros(9, 2, 1)]
    for other in (torch.arange(2), torch.zeros(2, 3), torch.zeros(2, 2, 3, 1), torch.zeros(3, 4, 6), "ab", ["a", "b"]):
        assert not per_pixel(other, same)
    for other in (half, half[1:], torch.zeros(2, 4, 6, 1), {"a": 1}):
        assert not per_pixel(other, mixed)


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
