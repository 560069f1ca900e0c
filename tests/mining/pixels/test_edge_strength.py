"""Edge strength: both measures agree with naive loops, and contrast sees what lies further away."""

import math

import pytest
import torch

from softmining_nerfstudio.mining.pixels import edge_strength
from softmining_nerfstudio.mining.pixels.cells import GRID, cell_sums
from softmining_nerfstudio.mining.pixels.edge_strength import (
    GOLDEN_ANGLE,
    MIN_CONTRAST,
    MIN_EDGE,
    OFFSETS,
    REACH,
    SAMPLES_PER_CELL,
    TURN,
    Contrast,
    Sobel,
    _spiral,
)
from softmining_nerfstudio.mining.pixels.images import Images, in_circle, luminance

BOTH = [Sobel(), Contrast()]


def one(pixels):
    return Images(torch.tensor([0]), pixels[None])


def pixelwise(measure, pixels):
    """The measure at every pixel of an image."""
    rows, columns = torch.meshgrid(*map(torch.arange, pixels.shape[:2]), indexing="ij")
    return measure.at(one(pixels), torch.tensor(0), rows, columns)


def step_image(height, width, at):
    """Black to the left of column `at`, white from there on."""
    return (torch.arange(width) >= at).float().expand(height, width)[..., None].expand(-1, -1, 3)


def test_sobel_cells_agree_with_a_naive_sobel_loop(generator):
    height, width = 34, 40
    grey = torch.rand((height, width), generator=generator)
    magnitude = torch.zeros(height, width)
    for r in range(height):
        for c in range(width):
            up, down = max(r - 1, 0), min(r + 1, height - 1)
            left, right = max(c - 1, 0), min(c + 1, width - 1)
            across = sum(w * (grey[i, right] - grey[i, left]) for w, i in ((1, up), (2, r), (1, down)))
            along = sum(w * (grey[down, j] - grey[up, j]) for w, j in ((1, left), (2, c), (1, right)))
            magnitude[r, c] = torch.hypot(across, along)
    relative = (magnitude / magnitude.max()).clamp(min=MIN_EDGE)
    expected = cell_sums(relative) / cell_sums(torch.ones(height, width))
    torch.testing.assert_close(Sobel().of_cells(one(grey[..., None].expand(-1, -1, 3)), 0), expected)


def test_sobel_magnitudes_are_relative_to_the_sharpest_of_the_image(generator):
    pixels = torch.rand((40, 40, 3), generator=generator)
    torch.testing.assert_close(Sobel().of_cells(one(pixels), 0), Sobel().of_cells(one(pixels / 16), 0))


def test_a_flat_image_has_the_same_sobel_magnitude_everywhere():
    density = Sobel().of_cells(one(torch.full((40, 64, 3), 0.3)), 0)
    torch.testing.assert_close(density, torch.full_like(density, MIN_EDGE))


@pytest.mark.parametrize("size", [64, 400, 1200])
def test_a_step_lies_in_the_cells_it_runs_through_at_any_resolution(size):
    density = Sobel().of_cells(one(step_image(size, size, size // 2)), 0)
    assert set(density.argmax(1).tolist()) <= {GRID // 2 - 1, GRID // 2}
    away = density[:, [*range(GRID // 2 - 2), *range(GRID // 2 + 2, GRID)]]
    torch.testing.assert_close(away, torch.full_like(away, MIN_EDGE))


def test_sobel_at_a_pixel_is_the_central_difference(generator):
    grey = torch.rand((30, 40), generator=generator)
    found = pixelwise(Sobel(), grey[..., None].expand(-1, -1, 3))
    expected = math.hypot(grey[13, 7] - grey[11, 7], grey[12, 8] - grey[12, 6]) / 2
    assert found[12, 7] == pytest.approx(expected, rel=1e-5)
    assert found[0, 0] == pytest.approx(math.hypot(grey[1, 0] - grey[0, 0], grey[0, 1] - grey[0, 0]) / 2, rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (34, 40), (60, 90)])
def test_contrast_agrees_with_a_naive_loop(generator, shape):
    grey = torch.rand(shape, generator=generator)
    longest, expected = max(REACH * math.sqrt(shape[0] * shape[1]), 1), torch.full(shape, MIN_CONTRAST)
    for r in range(shape[0]):
        for c in range(shape[1]):
            turned = 2 * math.pi * (TURN[0] * r + TURN[1] * c)
            for k in range(OFFSETS):
                length, angle = longest ** (k / (OFFSETS - 1)), turned + k * GOLDEN_ANGLE
                down, right = round(length * math.sin(angle)), round(length * math.cos(angle))
                there = grey[min(max(r + down, 0), shape[0] - 1), min(max(c + right, 0), shape[1] - 1)]
                expected[r, c] += (grey[r, c] - there).abs() / OFFSETS
    found = pixelwise(Contrast(), grey[..., None].expand(-1, -1, 3))
    assert ((found - expected).abs() < 1e-5).float().mean() > 0.99  # but for offsets half-way between two pixels


@pytest.mark.parametrize("size", [200, 800])
def test_contrast_looks_in_all_directions_alike_at_every_distance(size):
    row, column = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    offsets = _spiral(row, column, torch.tensor([size, size])).movedim(0, -1).flatten(1, 2)
    for length, offset in zip((REACH * size) ** (torch.arange(OFFSETS) / (OFFSETS - 1)), offsets, strict=True):
        assert (offset.norm(dim=-1) - length).abs().max() < 1
        assert (offset.mean(0).abs() < 0.02 * length).all()
        down, right = offset.square().mean(0).tolist()
        assert down == pytest.approx(right, rel=0.02)


@pytest.mark.parametrize(("measure", "least"), [(Sobel(), MIN_EDGE), (Contrast(), MIN_CONTRAST)])
@pytest.mark.parametrize("by", ["circle", "mask"])
@pytest.mark.parametrize("size", [100, 800])
def test_the_border_of_what_may_be_drawn_is_no_edge(generator, measure, least, by, size):
    """A fisheye's circle, and a mask before something busy."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    inside = in_circle(row, column, torch.tensor([size, size]), 0.47 * size)
    outside = torch.rand((size, size), generator=generator)
    pixels = torch.where(inside, 0.7, outside)[None, ..., None].expand(-1, -1, -1, 3)
    shown = {"crop_radius": 0.47 * size} if by == "circle" else {"masks": inside[None, ..., None]}
    images = Images(torch.tensor([0]), pixels, **shown)
    strength = measure.at(images, torch.tensor(0), row, column)[inside]
    torch.testing.assert_close(strength, torch.full_like(strength, least))
    cells = measure.of_cells(images, 0)[cell_sums(inside) > 0]
    torch.testing.assert_close(cells, cells[:1].expand_as(cells))


@pytest.mark.parametrize("measure", BOTH)
def test_a_cell_none_of_whose_sampled_pixels_may_be_drawn_can_still_be_drawn(generator, measure):
    pixels, mask = torch.rand((400, 400, 3), generator=generator), torch.zeros(400, 400, 1, dtype=torch.bool)
    mask[1::50, 1::50] = True
    images = Images(torch.tensor([0]), pixels[None], masks=mask[None])
    assert (measure.of_cells(images, 0) > 0).all()


@pytest.mark.parametrize(("shape", "stride"), [((70, 100), (1, 1)), ((400, 300), (4, 3))])
def test_the_contrast_of_a_cell_is_the_mean_of_its_pixels(generator, shape, stride):
    """Of some of them, in a large image."""
    pixels = torch.rand((*shape, 3), generator=generator) * torch.linspace(0, 1, shape[1])[:, None]
    looked_at = torch.zeros(shape)
    looked_at[:: stride[0], :: stride[1]] = 1
    expected = cell_sums(pixelwise(Contrast(), pixels) * looked_at) / cell_sums(looked_at)
    torch.testing.assert_close(Contrast().of_cells(one(pixels), 0), expected)


@pytest.mark.parametrize("measure", BOTH)
def test_no_more_than_so_many_pixels_are_looked_at_to_know_the_cells(monkeypatch, measure):
    looked_at = []
    monkeypatch.setattr(edge_strength, "luminance", lambda pixels: looked_at.append(pixels) or luminance(pixels))
    monkeypatch.setattr(measure, "at", lambda i, s, row, column: looked_at.append(row) or torch.ones(row.shape))
    measure.of_cells(one(torch.zeros(1500, 900, 3)), 0)
    assert max(looked_at[0].shape[:2]) <= GRID * SAMPLES_PER_CELL


def test_a_flat_image_has_the_least_contrast_everywhere():
    density = Contrast().of_cells(one(torch.full((40, 64, 3), 0.3)), 0)
    torch.testing.assert_close(density, torch.full_like(density, MIN_CONTRAST))


@pytest.mark.parametrize("size", [200, 1000])
def test_contrast_sees_a_step_from_as_far_as_it_reaches_and_the_gradient_does_not(size):
    image, reach = step_image(size, size, size // 2), REACH * size
    contrast, gradient = (pixelwise(measure, image)[size // 2] for measure in (Contrast(), Sobel()))
    distance = (torch.arange(size) + 0.5 - size // 2).abs()
    torch.testing.assert_close(
        contrast[distance > reach + 1], torch.full_like(contrast[distance > reach + 1], MIN_CONTRAST)
    )
    assert (contrast[distance < reach / 3] > 10 * MIN_CONTRAST).float().mean() > 0.8
    assert (gradient[distance > 2] == MIN_EDGE).all()
    assert contrast[distance < 2].mean() > 2 * contrast[(distance > reach / 2) & (distance < reach)].mean()


@pytest.mark.parametrize("measure", BOTH)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float64])
def test_edge_strength_does_not_depend_on_the_type_of_the_pixels(generator, measure, dtype):
    colours = torch.randint(256, (40, 40, 3), generator=generator, dtype=torch.uint8)
    pixels = colours if dtype == torch.uint8 else colours.to(dtype) / 255
    torch.testing.assert_close(
        measure.of_cells(one(pixels), 0), measure.of_cells(one(colours / 255), 0), atol=2e-3, rtol=0
    )
