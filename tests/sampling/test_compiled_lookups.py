"""Compiled lookups have the numbers of the torch code, and leave to it what they cannot do."""

import numpy as np
import pytest
import torch

from softmining_nerfstudio.images.order import SIDE, in_squares
from softmining_nerfstudio.images.pixels import Colours, Pixels
from softmining_nerfstudio.mining.footprint import Footprint
from softmining_nerfstudio.mining.pixels.edge_strength import Contrast
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import Packed
from softmining_nerfstudio.mining.recipes import RECIPES, SAMPLING_TYPES
from softmining_nerfstudio.sampling import compiled
from softmining_nerfstudio.sampling.compiled import CompiledContrast, CompiledFootprint, with_compiled_lookups

pytestmark = pytest.mark.skipif(compiled._loops() is None, reason="numba is not installed")
SIZES = [(60, 80), (41, 17), (3, 5), (1, 1)]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def loaded(channels: int, packed: bool, generator: torch.Generator, **options: object) -> Images:
    sizes = SIZES if packed else [(60, 80)] * 4
    pictures = [torch.rand(*size, channels, generator=generator) for size in sizes]
    return Images(torch.arange(4), Packed.move(pictures) if packed else torch.stack(pictures), **options)


def pixels(images: Images, count: int, candidates: int, generator: torch.Generator):
    slot = torch.randint(len(images), (count,), generator=generator)
    place = torch.rand(count, candidates, 2, generator=generator) * images.sizes[slot][:, None]
    return slot, *place.long().unbind(-1)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_contrast_is_that_of_the_torch_code(channels: int, packed: bool, generator: torch.Generator) -> None:
    images = loaded(channels, packed, generator)
    slot, row, column = pixels(images, 500, 4, generator)
    found, expected = (measure.at(images, slot[:, None], row, column) for measure in (CompiledContrast(), Contrast()))
    different = (found - expected).abs() > 1e-5
    assert different.float().mean() < 0.01  # an offset may be rounded to the next pixel


def test_contrast_is_that_of_the_torch_code_on_photographs(generator: torch.Generator) -> None:
    images = Images(torch.arange(1), torch.rand(1, 3000, 4000, 3, generator=generator))
    slot, row, column = pixels(images, 2000, 4, generator)
    found, expected = (measure.at(images, slot[:, None], row, column) for measure in (CompiledContrast(), Contrast()))
    assert ((found - expected).abs() > 1e-3).float().mean() < 1e-3


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("side", [0.5, 1.0, 3.7, 200.0])
def test_footprints_are_those_of_the_torch_code(
    channels: int, packed: bool, side: float, generator: torch.Generator
) -> None:
    images = loaded(channels, packed, generator)
    if channels == 4:
        images.pixels[0][:20] = 0  # transparent
    slot, row, column = pixels(images, 500, 1, generator)
    pixel, sides = torch.cat([row, column], -1), torch.full((500,), side)
    found, expected = (
        footprint.colours(images, slot, pixel, sides, torch.Generator().manual_seed(1))
        for footprint in (CompiledFootprint(10.0), Footprint(10.0))
    )
    assert ((found - expected).abs() > 1e-5).float().mean() < 0.01


@pytest.mark.parametrize("background", [None, torch.tensor([0.2, 1.0, 0.6])], ids=["no background", "a background"])
@pytest.mark.parametrize("channels", [3, 4])
def test_bytes_give_the_numbers_of_floats_to_the_bit(
    channels: int, background: torch.Tensor | None, generator: torch.Generator
) -> None:
    images = [torch.randint(256, (*size, channels), generator=generator, dtype=torch.uint8) for size in SIZES]
    bands = [in_squares(image[top : top + SIDE].numpy()) for image in images for top in range(0, len(image), SIDE)]
    packed = Packed.move(images)
    stored = Pixels(torch.from_numpy(np.concatenate(bands)), packed.first, packed.sizes, Colours(background))
    images = [Images(torch.arange(len(SIZES)), stored), Images(torch.arange(len(SIZES)), floats_of(stored))]
    slot, row, column = pixels(images[0], 500, 4, generator)
    one, two = (CompiledContrast().at(kept, slot[:, None], row, column) for kept in images)
    assert torch.equal(one, two)
    pixel, side = torch.stack([row[:, 0], column[:, 0]], -1), torch.full((500,), 9.0)
    one, two = (
        CompiledFootprint(10.0).colours(kept, slot, pixel, side, torch.Generator().manual_seed(1)) for kept in images
    )
    assert torch.equal(one, two)


def floats_of(stored: Pixels) -> Packed:
    return Packed.move([stored.whole(slot) for slot in range(len(stored))])


@pytest.mark.parametrize(
    "images",
    [
        Images(torch.arange(2), torch.rand(2, 9, 9, 3), masks=torch.ones(2, 9, 9, 1)),
        Images(torch.arange(2), torch.rand(2, 9, 9, 3), crop_radius=4.0),
        Images(torch.arange(2), (torch.rand(2, 9, 9, 3) * 255).byte()),
        Images(torch.arange(2), torch.rand(2, 3, 9, 9).movedim(1, -1)),
    ],
    ids=["masked", "a lens", "bytes", "another order in memory"],
)
def test_other_images_are_left_to_the_torch_code(images: Images, generator: torch.Generator) -> None:
    slot, row, column = pixels(images, 50, 4, generator)
    one, two = (measure.at(images, slot[:, None], row, column) for measure in (CompiledContrast(), Contrast()))
    assert torch.equal(one, two)
    pixel, side = torch.stack([row[:, 0], column[:, 0]], -1), torch.full((50,), 3.0)
    one, two = (
        footprint.colours(images, slot, pixel, side, torch.Generator().manual_seed(1))
        for footprint in (CompiledFootprint(10.0), Footprint(10.0))
    )
    assert torch.equal(one, two)


@pytest.mark.parametrize("sampling_type", SAMPLING_TYPES)
def test_a_recipe_stays_what_it_is(sampling_type: str) -> None:
    recipe = RECIPES[sampling_type]
    changed = with_compiled_lookups(recipe)
    assert changed.edge_strength.name == recipe.edge_strength.name
    assert changed.footprint.coverage == recipe.footprint.coverage
    assert changed == with_compiled_lookups(recipe)
