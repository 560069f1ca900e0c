"""Bytes become the floats that nerfstudio has, wherever and however they are looked up."""

import numpy as np
import pytest
import torch
from made_images import QUIET, SIZES, capture_of, images_of, in_memory

from softmining_nerfstudio.images.kept import InMemory
from softmining_nerfstudio.images.pixels import Colours

WHITE = torch.ones(3)


def nerfstudios(image: torch.Tensor, background: torch.Tensor | None) -> torch.Tensor:
    """`InputDataset.get_image_float32`."""
    floats = torch.from_numpy(image.numpy().astype("float32") / 255.0)
    if background is None or image.shape[-1] == 3:
        return floats
    return floats[:, :, :3] * floats[:, :, -1:] + background * (1.0 - floats[:, :, -1:])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("background", [None, WHITE, torch.tensor([0.1, 0.7, 0.3])], ids=["none", "white", "odd"])
def test_colours_are_nerfstudios_to_the_bit(channels: int, background: torch.Tensor | None) -> None:
    images = images_of(channels=channels)
    pixels = in_memory(images, background)
    for slot, image in enumerate(images):
        expected = nerfstudios(image, background)
        height, width = image.shape[:2]
        assert torch.equal(pixels.whole(slot), expected)
        row, column = torch.randint(height, (7, 3)), torch.randint(width, (7, 3))
        assert torch.equal(pixels.at(torch.tensor([[slot]]), row, column), expected[row, column])


def test_every_pair_of_colour_and_alpha_is_blended_as_nerfstudio_does() -> None:
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    image = torch.from_numpy(np.stack([colour, colour, colour, alpha], -1).astype(np.uint8))
    for background in (WHITE, torch.zeros(3), torch.tensor([0.2, 0.5, 0.9])):
        assert torch.equal(Colours(background)(image), nerfstudios(image, background))


@pytest.mark.parametrize("rows", [range(0, 60), range(5, 6), range(30, 59), range(0, 60, 7), range(0, 0)])
def test_a_part_is_that_of_the_image(rows: range) -> None:
    images = images_of()
    for columns in (range(0, 80), range(10, 50), range(0, 80, 3)):
        found = in_memory(images).part(0, rows, columns)
        assert torch.equal(found, nerfstudios(images[0], None)[rows.start : rows.stop : rows.step, columns])


def test_some_images_are_chosen_without_a_copy() -> None:
    pixels = in_memory(images_of())
    chosen = pixels.of([2, 0])
    assert chosen.sizes.tolist() == [[*SIZES[2]], [*SIZES[0]]]
    assert torch.equal(chosen.whole(1), pixels.whole(0))
    assert chosen.values.data_ptr() == pixels.values.data_ptr()


def test_further_layers_keep_their_type() -> None:
    images = images_of()
    mask = InMemory(capture_of(images), QUIET).of([1, 0])["mask"]
    assert mask.values.dtype == torch.bool
    assert torch.equal(mask.whole(0), images[1][..., :1] > 127)
