"""The map of errors: when it is used, and what it estimates."""

import pytest
import torch
from drawing import HEIGHT, WIDTH, N, run, seen, setting

from softmining_nerfstudio.mining.pixels.cells import GRID
from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.strategies.error_map import (
    FIRST_PERIOD,
    PERIOD_GROWTH,
    UNIFORM_IMAGES,
    UNIFORM_PIXELS,
    ErrorMap,
)


def test_the_error_map_is_uniform_until_its_first_period_ends(generator):
    strategy, images = setting(ErrorMap, generator)
    _, yx = run(strategy, images, FIRST_PERIOD, 100, lambda _, yx: (yx[:, 1] < 32).float())
    torch.testing.assert_close((yx[:, 1] < 32).float().mean(), torch.tensor(1 / 3), atol=0.02, rtol=0)
    assert strategy.period == int(FIRST_PERIOD * PERIOD_GROWTH)


def test_the_error_map_draws_by_the_losses_of_the_period_before(generator):
    """All loss is in the left third of image 3. Half of that image's rays follow the map, half go anywhere in it."""
    strategy, images = setting(ErrorMap, generator)
    run(strategy, images, FIRST_PERIOD, 400, lambda image, yx: ((image == 3) & (yx[:, 1] < 32)).float())
    slot, yx = run(strategy, images, 20, 1000)
    image = images.ids[slot]
    expected = 1 - UNIFORM_IMAGES + UNIFORM_IMAGES / N
    assert (image == 3).float().mean() == pytest.approx(expected, abs=0.02)
    left = (yx[image == 3, 1] < 36).float().mean()  # losses are shared with the next column of cells
    assert left == pytest.approx(1 - UNIFORM_PIXELS + UNIFORM_PIXELS * 36 / 96, abs=0.02)


@pytest.mark.parametrize("masked", [False, True])
def test_the_error_map_estimates_the_loss_whatever_it_drew(masked, generator):
    """The first map draws most rays in one place. The loss is then the same everywhere, and the second map is flat."""
    masks = torch.ones(N, HEIGHT, WIDTH, 1)
    masks[:, :, 48:] = (torch.arange(48) % 3 == 0)[:, None] if masked else 1
    strategy, images = setting(ErrorMap, generator, masks=masks)
    run(strategy, images, FIRST_PERIOD, 400, lambda image, yx: 1e-3 + ((image == 3) & (yx[:, 1] < 32)).float())
    assert strategy.per_image[3] > 4
    run(strategy, images, int(FIRST_PERIOD * PERIOD_GROWTH), 2000)
    torch.testing.assert_close(strategy.per_image, torch.ones(N), atol=0.1, rtol=0)
    cells = strategy.density.cells[3].float().view(8, GRID // 8, 8, GRID // 8).sum((1, 3))
    area = strategy.densities.allowed.cells[3].float().view(8, GRID // 8, 8, GRID // 8).sum((1, 3))
    torch.testing.assert_close(cells / cells.mean() / (area / area.mean()), torch.ones(8, 8), atol=0.3, rtol=0)


def test_an_image_does_not_look_worse_for_being_loaded_more_often(generator):
    """One half of the images is loaded four times as often; image 3 is twice as wrong."""
    strategy, images = setting(ErrorMap, generator)
    halves = [Images(images.ids[slots], images.pixels[slots]) for slots in (slice(None, N // 2), slice(N // 2, None))]
    expected = (1.0 + (torch.arange(N) == 3)) * N / (N + 1)
    for _ in range(2):
        for step in range(strategy.period):
            run(strategy, halves[step % 5 == 0], 1, 2000, lambda image, _: 1.0 + (image == 3))
        torch.testing.assert_close(strategy.per_image, expected, atol=0.1, rtol=0)


def test_rays_that_the_error_map_did_not_draw_do_not_reach_it(generator):
    strategy, images = setting(ErrorMap, generator)
    slot, yx = strategy.draw(images, 30)
    strategy.learn(seen(images, torch.cat([slot, slot]), torch.cat([yx, yx]), torch.ones(60)))
    assert strategy.sums.sum() == pytest.approx(30, rel=1e-3)


def test_a_map_of_other_masks_draws_nothing_that_today_hides(generator):
    strategy, images = setting(ErrorMap, generator)
    run(strategy, images, FIRST_PERIOD, 400, lambda image, yx: (yx[:, 1] < 32).float())
    masks = torch.ones(N, HEIGHT, WIDTH, 1)
    masks[:, :, :48] = 0
    later, images = setting(ErrorMap, generator, masks=masks)
    later.load_state(strategy.state())
    _, yx = run(later, images, 5, 400)
    assert yx[:, 1].min() >= 48


def test_a_loss_that_is_not_finite_does_not_reach_the_map(generator):
    strategy, images = setting(ErrorMap, generator)
    run(strategy, images, 2, 50, lambda _, yx: torch.where(yx[:, 0] < 10, torch.nan, 1.0))
    assert strategy.sums.isfinite().all()
    assert strategy.sums.sum() > 0
