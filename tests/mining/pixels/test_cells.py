"""Cells tile every image exactly; their densities agree with naive loops, and draws with their density."""

import pytest
import torch

from softmining_nerfstudio.mining.pixels.cells import (
    GRID,
    Density,
    allowed_cells,
    area_cells,
    cell_bounds,
    cell_means,
    cell_sums,
    draw_index,
    pixels_in_cell,
)
from softmining_nerfstudio.mining.pixels.images import Images

SHAPES = [(1, 1), (5, 7), (32, 32), (33, 70), (100, 31)]


def one(pixels, mask=None):
    return Images(torch.tensor([0]), pixels[None], None if mask is None else mask[None])


@pytest.mark.parametrize("size", [*range(1, 70), 127, 800, 1008, 4032])
def test_every_pixel_belongs_to_exactly_one_cell(size):
    first, length = cell_bounds(torch.arange(GRID), torch.full((GRID,), size))
    covered = [pixel for f, n in zip(first.tolist(), length.tolist(), strict=True) for pixel in range(f, f + n)]
    assert covered == list(range(size))


@pytest.mark.parametrize("shape", SHAPES)
def test_cell_sums_agree_with_a_naive_loop(generator, shape):
    values = torch.rand(shape, generator=generator)
    expected = torch.zeros(GRID, GRID)
    rows, columns = (
        list(zip(*cell_bounds(torch.arange(GRID), torch.full((GRID,), length)), strict=True)) for length in shape
    )
    for i, (row, height) in enumerate(rows):
        for j, (column, width) in enumerate(columns):
            expected[i, j] = values[row : row + height, column : column + width].sum()
    torch.testing.assert_close(cell_sums(values), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_mask_all_pixels_count_as_under_a_full_mask(shape):
    pixels = torch.zeros(*shape, 3)
    counts = allowed_cells(one(pixels), 0)
    assert counts.sum() == shape[0] * shape[1]
    assert torch.equal(counts, allowed_cells(one(pixels, torch.ones(*shape, 1, dtype=torch.bool)), 0))


def test_allowed_cells_count_the_pixels_of_the_mask(generator):
    mask = torch.rand((45, 70, 1), generator=generator) < 0.3
    assert torch.equal(allowed_cells(one(torch.zeros(45, 70, 3), mask), 0), cell_sums(mask[..., 0]))


@pytest.mark.parametrize("shape", SHAPES)
def test_cell_means_agree_with_their_sums(generator, shape):
    values = torch.rand(shape, generator=generator)
    counts = cell_sums(torch.ones(shape))
    torch.testing.assert_close(cell_means(values) * counts, cell_sums(values))
    assert (cell_means(values)[counts == 0] == 0).all()


def densities(*images):
    density = Density(len(images))
    for image, cells in enumerate(images):
        density.put(image, cells.view(GRID, GRID))
    return density


def test_cells_are_drawn_as_often_as_their_density_says(generator):
    density = torch.zeros(GRID * GRID)
    density[[3, 40, 41, 1023]] = torch.tensor([1.0, 2.0, 0.0, 5.0])
    row, column = densities(density).draw(torch.zeros(8000, dtype=torch.long), generator).unbind(-1)
    shares = (row * GRID + column).bincount(minlength=GRID * GRID) / 8000
    torch.testing.assert_close(shares, density / 8, atol=0.02, rtol=0)
    assert torch.equal(shares > 0, density > 0)


def test_each_image_is_drawn_from_its_own_density(generator):
    cells = torch.randperm(GRID * GRID, generator=generator)[:200]
    one_hot = torch.zeros(200, GRID * GRID)
    one_hot[torch.arange(200), cells] = torch.rand(200, generator=generator) + 0.1
    image = torch.randint(200, (500,), generator=generator)
    expected = torch.stack([cells // GRID, cells % GRID], -1)[image]
    assert torch.equal(densities(*one_hot).draw(image, generator), expected)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-24])
def test_the_rarest_of_lots_still_falls_on_a_cell_that_has_a_density(generator, monkeypatch, uniform):
    monkeypatch.setattr(torch, "rand", lambda shape, generator: torch.full(shape, uniform))
    density = torch.zeros(1, GRID)
    density[0, 5:9] = 0.1
    assert density[0, draw_index(density, generator)] > 0


def test_a_density_needs_no_normalisation(generator):
    density, image = torch.rand(GRID * GRID, generator=generator), torch.zeros(300, dtype=torch.long)
    state = generator.get_state()
    first = densities(density).draw(image, generator)
    generator.set_state(state)
    assert torch.equal(densities(density * 64).draw(image, generator), first)


def test_a_density_takes_little_more_than_two_bytes_a_cell():
    density = Density(10)
    held = sum(tensor.nelement() * tensor.element_size() for tensor in (density.cells, density.rows))
    assert held <= 10 * GRID * GRID * 2.2


def test_pixels_of_a_cell_are_drawn_uniformly(generator):
    cell, size = torch.tensor([[7, 31]]), torch.tensor([[100, 250]])
    (top, left), (height, width) = (bound[0].tolist() for bound in cell_bounds(cell, size))
    pixels = pixels_in_cell(cell, size, 6000, generator)[0] - torch.tensor([top, left])
    assert pixels.min() >= 0
    assert (pixels < torch.tensor([height, width])).all()
    shares = (pixels[:, 0] * width + pixels[:, 1]).bincount(minlength=height * width) / 6000
    torch.testing.assert_close(shares, torch.full((height * width,), 1 / (height * width)), atol=0.012, rtol=0)


def test_the_cells_of_a_circle_count_its_pixels():
    images = Images(torch.tensor([0]), torch.zeros(1, 45, 70, 3), crop_radius=20.0)
    assert torch.equal(allowed_cells(images, 0), cell_sums(images.allowed_in(0, range(45), range(70))))


@pytest.mark.parametrize("masked", [False, True])
def test_the_cells_of_a_panorama_sum_the_areas_of_their_pixels(generator, masked):
    mask = torch.rand((45, 90), generator=generator) < 0.3 if masked else torch.ones(45, 90, dtype=torch.bool)
    images = Images(
        torch.tensor([0]), torch.zeros(1, 45, 90, 3), mask[None, ..., None] if masked else None, equirectangular=True
    )
    area = images.area(torch.tensor(0), torch.arange(45))[:, None] * mask
    torch.testing.assert_close(allowed_cells(images, 0), cell_sums(area))
    assert (allowed_cells(images, 0) <= area_cells(images, 0) + 1e-4).all()
