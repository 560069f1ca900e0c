"""Values at pixels of stacks and lists of images: looked up as a naive loop does, in every format nerfstudio loads."""

import pytest
import torch
from pixel_stacks import some_pixels, stack

from softmining_nerfstudio.mining.pixels.values import Packed, gather, per_pixel


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
