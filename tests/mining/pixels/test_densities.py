"""Walkers appear uniformly over what may be drawn, or near edges, and never on a masked pixel."""

import pytest
import torch

from softmining_nerfstudio.mining.pixels.cells import GRID, pixels_in_cell
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.edge_strength import Contrast, Sobel
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.pixels.values import Packed

WAYS = ["uniform", "on_edges"]
EITHER = pytest.mark.parametrize("measure", [Sobel(), Contrast()])
HEIGHT, WIDTH = 40, 52


def random_mask(height, width):
    return torch.rand((height, width), generator=torch.Generator().manual_seed(1)) < 0.4


def thin_line(height, width):
    return (torch.arange(height) == height // 3)[:, None].expand(height, width)


def one_pixel(height, width):
    return torch.arange(height * width).view(height, width) == height * width - 2


def half(height, width):
    return (torch.arange(width) < width // 2).expand(height, width)


MASKS = [random_mask, thin_line, one_pixel, half]


def noise(height, width):
    return torch.rand((height, width, 3), generator=torch.Generator().manual_seed(2))


def step_image(height, width, at):
    return (torch.arange(width) >= at).float()[None, :, None].expand(height, width, 3)


def loaded(ids, pixels, masks=None, **more):
    """Images of any sizes, with masks [height, width]; a single one is not copied."""

    def pack(images):
        return images[0][None] if len(images) == 1 else Packed.move(images)

    masks = None if masks is None else pack([mask[..., None] for mask in masks])
    return Images(torch.tensor(list(ids)), pack(list(pixels)), masks, **more)


def seen(pixels, masks=None, measure=None):
    """Images of a data set, with the masks [height, width] given, and their densities."""
    images = loaded(range(len(pixels)), pixels, masks)
    densities = Densities(len(pixels), measure or Sobel())
    densities.see(images)
    return images, densities


def draw(way, images, densities, slot, seed=0):
    return getattr(densities, way)(images, slot, torch.Generator().manual_seed(seed))


def draws_of_one(way, pixels, mask=None, count=6000, measure=None):
    images, densities = seen([pixels], None if mask is None else [mask], measure)
    return draw(way, images, densities, torch.zeros(count, dtype=torch.long))


def assert_uniform(yx, allowed):
    """Pearson's chi-square of the pixel counts, standardised; and nothing at all elsewhere."""
    counts = torch.zeros(allowed.shape)
    counts.index_put_(tuple(yx.long().unbind(-1)), torch.ones(len(yx)), accumulate=True)
    assert counts[~allowed].sum() == 0
    freedom, expected = int(allowed.sum()) - 1, len(yx) / int(allowed.sum())
    chi_square = ((counts[allowed] - expected) ** 2 / expected).sum()
    assert abs(chi_square - freedom) <= 5 * max(2 * freedom, 1) ** 0.5


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (5, 7), (33, 31), (70, 20)])
def test_uniform_draws_are_uniform_over_the_image(size):
    assert_uniform(draws_of_one("uniform", noise(*size)), torch.ones(size, dtype=torch.bool))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (5, 7), (100, 90)])
def test_uniform_draws_are_uniform_over_the_mask(mask, size):
    allowed = mask(*size)
    assert_uniform(draws_of_one("uniform", noise(*size), allowed), allowed)


def test_the_uniformity_check_notices_a_density_that_is_not(generator):
    yx = torch.rand((6000, 2), generator=generator) ** 1.2 * torch.tensor([HEIGHT, WIDTH])
    with pytest.raises(AssertionError):
        assert_uniform(yx, torch.ones(HEIGHT, WIDTH, dtype=torch.bool))


@EITHER
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (5, 7), (200, 300)])
def test_a_masked_pixel_is_never_drawn_for_its_edge(mask, size, measure):
    allowed = mask(*size)
    row, column = draws_of_one("on_edges", noise(*size), allowed, 4000, measure).long().unbind(-1)
    assert allowed[row, column].all()


@pytest.mark.parametrize("way", WAYS)
def test_few_allowed_pixels_of_a_large_image_are_found_and_alike(way):
    """Two pixels among the 11,750 of a cell: rejection seldom finds them."""
    allowed = torch.zeros(3000, 4000, dtype=torch.bool)
    allowed[100, 130], allowed[180, 140] = True, True
    yx = draws_of_one(way, torch.zeros(1, dtype=torch.uint8).expand(3000, 4000, 3), allowed, count=200)
    assert_uniform(yx, allowed)


@pytest.mark.parametrize("way", WAYS)
def test_a_position_does_not_round_to_the_next_pixel(way):
    """Float32 has steps of 1/256 pixel at the far side of a panorama, where every other column is masked."""
    height, width = 4, 60_000
    allowed = (torch.arange(width) % 2 == 1).expand(height, width)
    row, column = draws_of_one(way, torch.zeros(1).expand(height, width, 3), allowed).long().unbind(-1)
    assert (row < height).all()
    assert (column < width).all()
    assert allowed[row.clamp(max=height - 1), column.clamp(max=width - 1)].all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("masked", [False, True])
def test_positions_are_spread_over_their_pixel(way, masked):
    yx = draws_of_one(way, noise(HEIGHT, WIDTH), random_mask(HEIGHT, WIDTH) if masked else None)
    torch.testing.assert_close(yx.frac().mean(0), torch.full((2,), 1 / 2), atol=0.02, rtol=0)
    torch.testing.assert_close(yx.frac().var(0), torch.full((2,), 1 / 12), atol=0.005, rtol=0)


@pytest.mark.parametrize("size", [128, 800])
def test_edges_are_drawn_far_more_often_than_their_area(size):
    from_step = (draws_of_one("on_edges", step_image(size, size, size // 2))[:, 1] - size / 2).abs()
    assert (from_step < size / GRID).float().mean() > 0.95
    assert (from_step < 4).float().mean() > 0.3


@EITHER
def test_all_of_an_edge_is_drawn(measure):
    rows = draws_of_one("on_edges", step_image(128, 128, 64), measure=measure)[:, 0]
    torch.testing.assert_close(rows.histc(8, 0, 128) / len(rows), torch.full((8,), 1 / 8), atol=0.02, rtol=0)


@EITHER
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (5, 7)])
def test_a_flat_image_has_edges_everywhere_alike(size, measure):
    yx = draws_of_one("on_edges", torch.full((*size, 3), 0.7), measure=measure)
    assert_uniform(yx, torch.ones(size, dtype=torch.bool))


@EITHER
def test_a_flat_image_has_edges_everywhere_in_its_mask(measure):
    allowed = half(HEIGHT, WIDTH)
    assert_uniform(draws_of_one("on_edges", torch.zeros(HEIGHT, WIDTH, 3), allowed, measure=measure), allowed)


def test_cells_are_drawn_in_proportion_to_contrast(generator):
    """Noise of different strengths in four stripes: as many draws in each as it has contrast."""
    stripes = torch.arange(128)[:, None, None] // 32
    pixels = 0.5 + (torch.rand((128, 128, 3), generator=generator) - 0.5) * torch.tensor([0.1, 0.3, 0.6, 1.0])[stripes]
    rows = draws_of_one("on_edges", pixels, count=20000, measure=Contrast())[:, 0]
    images, densities = seen([pixels], measure=Contrast())
    expected = densities.edge_strength.of_cells(images, 0).view(4, -1).sum(1)
    torch.testing.assert_close(rows.histc(4, 0, 128) / len(rows), expected / expected.sum(), atol=0.015, rtol=0)


@EITHER
def test_edges_are_drawn_in_coarser_images_where_there_are_such(measure, generator):
    """The finer image is flat, so that what is preferred within its cells are the dots of the coarser one."""
    size, small = torch.tensor([1025, 1030]), torch.tensor([256, 256])
    dots = (torch.rand((256, 256, 1), generator=generator) < 0.03).float().expand(-1, -1, 3)
    coarser = Images(torch.arange(1), dots[None])
    images = Images(torch.arange(1), torch.zeros(1).expand(1, *size, 3), coarser=coarser)
    densities = Densities(1, measure)
    densities.see(images)
    slot = torch.zeros(8000, dtype=torch.long)
    yx = draw("on_edges", images, densities, slot)
    assert ((yx >= 0) & (yx < size)).all()
    there = yx * small / size
    torch.testing.assert_close((there % 1).mean(0), torch.tensor([0.5, 0.5]), atol=0.02, rtol=0)
    preferred = measure.at(coarser, slot, *there.long().unbind(-1)).mean()
    assert (
        preferred
        > 1.4 * measure.at(coarser, slot, *(torch.rand(8000, 2, generator=generator) * small).long().unbind(-1)).mean()
    )


@EITHER
def test_within_a_cell_stronger_edges_are_preferred(measure, generator):
    """Sparse dots, of which every cell of 8 x 8 pixels has some."""
    dots = (torch.rand((256, 256, 1), generator=generator) < 0.03).float().expand(-1, -1, 3)
    images, densities = seen([dots], measure=measure)
    slot = torch.zeros(8000, dtype=torch.long)
    row, column = draw("on_edges", images, densities, slot).long().unbind(-1)
    cell = densities.edges.draw(slot, generator)
    beside = pixels_in_cell(cell, images.sizes[slot], 1, generator)[:, 0]
    preferred, any_of_it = (measure.at(images, slot, *pixel).mean() for pixel in ((row, column), beside.unbind(-1)))
    assert preferred > 1.4 * any_of_it


def test_edges_are_measured_when_a_ray_is_first_drawn_on_one():
    images, densities = seen([noise(40, 50), noise(40, 50)])
    assert not densities.edges_known.any()
    draw("uniform", images, densities, torch.tensor([0, 1]))
    draw("on_edges", images, densities, torch.tensor([1, 1]))
    assert densities.edges_known.tolist() == [False, True]
    densities.measure_edges_by(Contrast())
    assert not densities.edges_known.any()
    assert densities.see(images).tolist() == []  # what may be drawn is still known


@pytest.mark.parametrize(("measure", "least"), [(Sobel(), 0.95), (Contrast(), 0.7)])
def test_a_silhouette_is_an_edge(measure, least):
    alpha = step_image(128, 128, 64)[..., :1]
    columns = draws_of_one("on_edges", torch.cat([torch.zeros(128, 128, 3), alpha], -1), measure=measure)[:, 1]
    assert ((columns - 64).abs() < 4).float().mean() > least


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_stack_and_packed_images_give_the_same_draws(way, masked):
    pixels = torch.stack([noise(HEIGHT, WIDTH), step_image(HEIGHT, WIDTH, 9)])
    masks = torch.stack([random_mask(HEIGHT, WIDTH), half(HEIGHT, WIDTH)])[..., None] if masked else None
    slot, found = torch.arange(500) % 2, []
    for packed in (False, True):
        images = Images(torch.arange(2), pixels, masks)
        if packed:
            images = loaded(range(2), pixels, masks[..., 0] if masked else None)
        densities = Densities(2, Sobel())
        densities.see(images)
        found.append(draw(way, images, densities, slot))
    assert torch.equal(*found)


@pytest.mark.parametrize("way", WAYS)
def test_bytes_and_floats_give_the_same_draws(way):
    pixels = (noise(HEIGHT, WIDTH) * 255).byte()
    assert torch.equal(draws_of_one(way, pixels), draws_of_one(way, pixels / 255))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("masked", [False, True])
def test_positions_are_inside_images_of_any_size(way, masked):
    sizes = [(1, 1), (5, 7), (HEIGHT, WIDTH), (300, 2)]
    masks = [torch.ones(1, 1, dtype=torch.bool), *(random_mask(*size) for size in sizes[1:])]
    images, densities = seen([noise(*size) for size in sizes], masks if masked else None)
    slot = torch.arange(800) % 4
    yx = draw(way, images, densities, slot)
    assert (yx >= 0).all()
    assert (yx < images.sizes[slot]).all()


@pytest.mark.parametrize("way", WAYS)
def test_same_seed_same_draws(way):
    images, densities = seen([noise(HEIGHT, WIDTH)], [random_mask(HEIGHT, WIDTH)])
    first, again, other = (draw(way, images, densities, torch.zeros(9, dtype=torch.long), seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("masked", [False, True])
def test_nothing_can_be_drawn(way, masked):
    assert draws_of_one(way, noise(5, 7), random_mask(5, 7) if masked else None, count=0).shape == (0, 2)


@pytest.mark.parametrize("way", WAYS)
def test_images_masks_and_slots_are_left_as_they_were(way):
    pixels, mask, slot = noise(HEIGHT, WIDTH), random_mask(HEIGHT, WIDTH), torch.zeros(100, dtype=torch.long)
    copies = pixels.clone(), mask.clone()
    draw(way, *seen([pixels], [mask]), slot)
    assert torch.equal(pixels, copies[0])
    assert torch.equal(mask, copies[1])
    assert not slot.any()


def test_an_image_is_seen_once_and_under_its_index_in_the_data_set():
    densities, flat = Densities(5, Sobel()), torch.zeros(6, 6, 3)
    first, then = loaded([3, 1], [flat, flat]), loaded([1, 4, 3], [noise(6, 6)] * 3)
    assert densities.see(first).tolist() == [0, 1]
    draw("on_edges", first, densities, torch.tensor([0, 1]))
    before = densities.edges.cells.clone()
    assert densities.see(then).tolist() == [1]
    draw("on_edges", then, densities, torch.tensor([0, 1, 2]))
    assert densities.edges_known.tolist() == [False, True, False, True, True]
    assert densities.share.isnan().tolist() == [True, False, True, False, False]
    assert torch.equal(densities.edges.cells[[1, 3]], before[[1, 3]])


@pytest.mark.parametrize("mask", [*MASKS, torch.zeros, torch.ones])
def test_the_share_of_an_image_is_the_fraction_its_mask_leaves(mask):
    allowed = mask(HEIGHT, WIDTH).bool()
    _, densities = seen([noise(HEIGHT, WIDTH)], [allowed])
    torch.testing.assert_close(densities.share[0], allowed.float().mean())


def test_the_share_of_an_image_without_a_mask_is_one():
    assert seen([noise(5, 7)])[1].share.tolist() == [1]


def test_images_are_drawn_from_by_slot_not_by_index():
    images = loaded([2, 0], [step_image(64, 64, 16), step_image(64, 64, 48)])
    densities = Densities(3, Sobel())
    densities.see(images)
    for slot, at in ((0, 16), (1, 48)):
        columns = draw("on_edges", images, densities, torch.full((200,), slot))[:, 1]
        assert ((columns - at).abs() < 6).float().mean() > 0.95


def test_masks_are_those_of_the_slot_too():
    masks = [half(64, 64), ~half(64, 64)]
    images = loaded([2, 0], [noise(64, 64)] * 2, masks)
    densities = Densities(3, Sobel())
    densities.see(images)
    for slot, mask in enumerate(masks):
        assert_uniform(draw("uniform", images, densities, torch.full((6000,), slot)), mask)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mask", [None, *MASKS])
def test_a_large_image_can_be_drawn_from(way, mask):
    size = (3000, 4000)
    pixels = torch.arange(256, dtype=torch.uint8)[torch.arange(4000) % 256][None, :, None].expand(*size, 3)
    allowed = None if mask is None else mask(*size)
    row, column = draws_of_one(way, pixels, allowed, count=50).long().unbind(-1)
    assert allowed is None or allowed[row, column].all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mask", MASKS)
def test_images_on_the_gpu_give_the_same_draws(way, mask):
    pixels, allowed = noise(300, 400), mask(300, 400)
    assert torch.equal(draws_of_one(way, pixels.cuda(), allowed.cuda()), draws_of_one(way, pixels, allowed))


def assert_rows_follow_the_sphere(rows, height):
    """Kolmogorov-Smirnov distance to the distribution of the polar angle, sin / 2."""
    uniform = ((1 - (torch.pi * rows / height).cos()) / 2).sort().values
    distance = (uniform - torch.arange(len(rows)) / len(rows)).abs().max()
    assert distance < 1.7 / len(rows) ** 0.5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("height", [40, 300])
def test_a_panorama_is_drawn_uniformly_on_the_sphere(way, height):
    images = loaded([0], [torch.full((height, 2 * height, 3), 0.5)], equirectangular=True)
    densities = Densities(1, Sobel())
    densities.see(images)
    yx = draw(way, images, densities, torch.zeros(6000, dtype=torch.long))
    columns = yx[:, 1].histc(8, 0, 2 * height) / len(yx)
    torch.testing.assert_close(columns, torch.full((8,), 1 / 8), atol=0.02, rtol=0)
    if way == "uniform":
        assert_rows_follow_the_sphere(yx[:, 0], height)
    else:  # one of a few candidates: approximately, within a cell
        polar = torch.linspace(0, torch.pi, 9)
        expected = (polar[:-1].cos() - polar[1:].cos()) / 2
        torch.testing.assert_close(yx[:, 0].histc(8, 0, height) / len(yx), expected, atol=0.02, rtol=0)


def test_the_sphere_check_notices_rows_that_are_uniform(generator):
    with pytest.raises(AssertionError):
        assert_rows_follow_the_sphere(torch.rand(6000, generator=generator) * 40, 40)


def test_a_masked_panorama_is_drawn_uniformly_on_what_is_left_of_the_sphere():
    height = 64
    mask = (torch.arange(height) < 4)[:, None] | (torch.arange(height) == 32)[:, None].expand(height, 2 * height)
    images = loaded([0], [noise(height, 2 * height)], [mask], equirectangular=True)
    densities = Densities(1, Sobel())
    densities.see(images)
    rows = draw("uniform", images, densities, torch.zeros(6000, dtype=torch.long))[:, 0].long()
    area = images.area(torch.tensor(0), torch.arange(height)) * mask.any(1)
    torch.testing.assert_close(rows.bincount(minlength=height) / 6000, area / area.sum(), atol=0.02, rtol=0)


@pytest.mark.parametrize("masked", [False, True])
def test_the_fisheye_circle_is_drawn_uniformly_and_never_left(masked):
    mask = random_mask(HEIGHT, WIDTH)
    images = loaded([0], [noise(HEIGHT, WIDTH)], [mask] if masked else None, crop_radius=15.0)
    densities = Densities(1, Sobel())
    densities.see(images)
    circle = images.allowed_in(0, range(HEIGHT), range(WIDTH))
    assert_uniform(draw("uniform", images, densities, torch.zeros(6000, dtype=torch.long)), circle)
    row, column = draw("on_edges", images, densities, torch.zeros(3000, dtype=torch.long)).long().unbind(-1)
    assert circle[row, column].all()


def scattered(height, width):
    return torch.rand((height, width), generator=torch.Generator().manual_seed(4)) < 1e-3


def test_sparse_cells_are_listed_and_drawn_like_any_other():
    allowed = scattered(600, 800)
    images, densities = seen([noise(600, 800)], [allowed])
    assert 0 < len(densities.sparse) <= allowed.sum()
    assert_uniform(draw("uniform", images, densities, torch.zeros(6000, dtype=torch.long)), allowed)
    row, column = draw("on_edges", images, densities, torch.zeros(3000, dtype=torch.long)).long().unbind(-1)
    assert allowed[row, column].all()


@pytest.mark.parametrize("equirectangular", [False, True])
def test_beyond_the_longest_list_sparse_cells_are_drawn_from_without_it(monkeypatch, equirectangular):
    monkeypatch.setattr("softmining_nerfstudio.mining.pixels.densities.MOST_LISTED", 10)
    allowed = scattered(600, 800)
    images = loaded([0], [noise(600, 800)], [allowed], equirectangular=equirectangular)
    densities = Densities(1, Sobel())
    densities.see(images)
    assert len(densities.sparse) == 0
    row, column = draw("uniform", images, densities, torch.zeros(300, dtype=torch.long)).long().unbind(-1)
    assert allowed[row, column].all()


def test_a_cell_without_a_pixel_to_draw_is_named_instead_of_searched_for_ever():
    images, densities = seen([noise(64, 64)], [half(64, 64)])
    with pytest.raises(RuntimeError, match=r"cell \[31, 31\] of image 0"):
        densities.within(images, torch.tensor([0]), torch.tensor([[31, 31]]), torch.Generator())


def test_listed_cells_are_those_of_their_own_image():
    masks = [scattered(600, 800), scattered(700, 500).flip(0), half(64, 64)]
    images, densities = seen([noise(*mask.shape) for mask in masks], masks)
    slot = torch.arange(3000) % 3
    row, column = draw("uniform", images, densities, slot).long().unbind(-1)
    for image, mask in enumerate(masks):
        assert mask[row[slot == image], column[slot == image]].all()


@pytest.mark.parametrize("way", ["uniform", "on_edges"])
def test_within_the_cell_at_the_pole_rows_count_by_their_area(way):
    height, rows = 320, 320 // GRID
    mask = (torch.arange(height) < rows)[:, None].expand(height, 2 * height)
    images = loaded([0], [torch.zeros(1).expand(height, 2 * height, 3)], [mask], equirectangular=True)
    densities = Densities(1, Sobel())
    densities.see(images)
    drawn = draw(way, images, densities, torch.zeros(6000, dtype=torch.long))[:, 0].long()
    area = images.area(torch.tensor(0), torch.arange(rows))
    torch.testing.assert_close(drawn.bincount(minlength=rows) / 6000, area / area.sum(), atol=0.02, rtol=0)


def test_fewer_rays_than_images_reach_all_of_them_in_time():
    images, densities = seen([torch.zeros(8, 8, 3)] * 7)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([densities.every_image(images, 2, generator) for _ in range(60)])
    assert (drawn.bincount(minlength=7) > 5).all()
