"""What every way of choosing rays must do, and what tells the controls apart."""

import copy

import pytest
import torch

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.pixels.cells import GRID
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.edge_strength import Sobel
from softmining_nerfstudio.mining.pixels.images import Images, Packed
from softmining_nerfstudio.mining.strategies.controls import (
    Foreground,
    StaticEdges,
    Uniform,
    UniformPerImage,
    WeightedForeground,
    WeightedUniform,
)
from softmining_nerfstudio.mining.strategies.error_map import (
    FIRST_PERIOD,
    PERIOD_GROWTH,
    UNIFORM_IMAGES,
    UNIFORM_PIXELS,
    ErrorMap,
)
from softmining_nerfstudio.mining.strategies.spread import SpreadEstimate
from softmining_nerfstudio.mining.strategies.walking import MOST_ON_EDGES, Walking
from softmining_nerfstudio.mining.walks import Diffusion, Langevin

N, HEIGHT, WIDTH = 5, 64, 96


def langevin(densities, generator):
    return Walking(densities, generator, Langevin(drift=0.0), edge_rays=False)


def diffusion(densities, generator):
    return Walking(densities, generator, Diffusion(), edge_rays=True)


CONTROLS = [Uniform, WeightedUniform, UniformPerImage, StaticEdges, Foreground, WeightedForeground, ErrorMap]
ALL = [langevin, diffusion, *CONTROLS]


def rgba(generator):
    """Noise, opaque in its left third only."""
    pixels = torch.rand((N, HEIGHT, WIDTH, 4), generator=generator)
    pixels[..., 3] = (torch.arange(WIDTH) < WIDTH // 3).float()
    return pixels


def setting(make, generator, **options):
    """A strategy and the images it draws from; their ids are not their slots."""
    images = Images(torch.arange(N).flip(0), options.pop("pixels", rgba(generator)), **options)
    densities = Densities(N, Sobel())
    densities.see(images)
    return make(densities, generator), images


def seen(images, slot, yx, loss, error=None):
    return Seen(images.ids[slot], yx, images.sizes[slot], loss if error is None else error, loss, None)


def run(strategy, images, steps, count=500, loss_at=lambda image, yx: torch.ones(len(yx))):
    """Draws of several steps, each learnt from."""
    drawn = []
    for _ in range(steps):
        slot, yx = strategy.draw(images, count)
        strategy.learn(seen(images, slot, yx, loss_at(images.ids[slot], yx)))
        drawn.append((slot, yx))
    return torch.cat([slot for slot, _ in drawn]), torch.cat([yx for _, yx in drawn])


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_as_many_pixels_as_asked_for_are_drawn_within_their_images(make, count, generator):
    strategy, images = setting(make, generator)
    slot, yx = run(strategy, images, 3, count)
    assert len(slot) == len(yx) == 3 * count
    assert ((yx >= 0) & (yx < torch.tensor([HEIGHT, WIDTH]))).all()


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("packed", [False, True])
def test_masked_pixels_and_empty_images_are_never_drawn(make, packed, generator):
    masks, pixels = torch.rand((N, HEIGHT, WIDTH, 1), generator=generator) < 0.3, rgba(generator)
    masks[2] = False
    drawn_from = (Packed.move([*pixels]), Packed.move([*masks])) if packed else (pixels, masks)
    strategy, images = setting(make, generator, pixels=drawn_from[0], masks=drawn_from[1])
    slot, yx = run(strategy, images, FIRST_PERIOD + 3 if make is ErrorMap else 5)
    row, column = yx.long().unbind(-1)
    assert masks[slot, row, column].all()


@pytest.mark.parametrize("make", ALL)
def test_a_strategy_goes_on_from_its_state(make, generator):
    one, images = setting(make, generator)
    run(one, images, FIRST_PERIOD + 4 if make is ErrorMap else 4)
    other = make(one.densities, torch.Generator())
    other.load_state(one.state())
    other.generator.set_state(one.generator.get_state())
    for expected, found in zip(run(one, images, 3), run(other, images, 3), strict=True):
        assert torch.equal(found, expected)


def test_what_is_corrected_and_what_learns():
    """The table of the controls: whether the loss has the mined weights, and whether errors are asked for."""
    assert {make.__name__: (make.corrected, make.learns) for make in (Walking, *CONTROLS)} == {
        "Walking": (True, True),
        "Uniform": (False, False),
        "WeightedUniform": (True, False),
        "UniformPerImage": (False, False),
        "StaticEdges": (True, False),
        "Foreground": (False, False),
        "WeightedForeground": (True, False),
        "ErrorMap": (False, True),
    }


@pytest.mark.parametrize(("errors", "edges"), [((1.0, 5.0), 100), ((1.0, 2.0), 250), ((2.0, 1.0), 450)])
def test_rays_on_edges_come_after_the_walkers_which_alone_learn(errors, edges, generator):
    pixels = torch.full((N, HEIGHT, WIDTH, 3), 0.5)
    pixels[:, 10:20] = torch.rand((N, 10, WIDTH, 3), generator=generator)
    strategy, images = setting(
        lambda r, g: Walking(r, g, Diffusion(respawn_fraction=0.0), edge_rays=True), generator, pixels=pixels
    )
    for _ in range(3):
        strategy.spread_estimate = SpreadEstimate(torch.tensor(errors))
        slot, yx = strategy.draw(images, 500)
        on_edge = (yx[:, 0] >= 8) & (yx[:, 0] < 22)
        assert on_edge[500 - edges :].float().mean() > 0.9
        assert on_edge[: 500 - edges].float().mean() < 0.5
        assert {*slot[500 - edges :].bincount(minlength=N).tolist()} <= {edges // N, edges // N + 1}
        error = torch.full((500,), 0.1)
        error[500 - edges :] = torch.nan  # of whom nothing is learnt
        strategy.learn(seen(images, slot, yx, error))
        assert strategy.redrawn == 0
    assert strategy.walkers.error.isfinite().sum() >= 500 - edges


@pytest.mark.parametrize(("hard", "least", "most"), [((24, 40), 0.0, 0.5), ((0, HEIGHT), MOST_ON_EDGES, MOST_ON_EDGES)])
def test_rays_go_onto_edges_where_walkers_find_no_more_error_than_uniform_rays(hard, least, most, generator):
    walk, flat = (
        Diffusion(noise=0.02, respawn_fraction=0.3),
        torch.rand((N, HEIGHT, WIDTH, 3), generator=generator),
    )
    strategy, images = setting(lambda r, g: Walking(r, g, walk, edge_rays=True), generator, pixels=flat)
    for _ in range(200):
        slot, yx = strategy.draw(images, 500)
        uniform_slot, uniform = strategy.densities.anywhere(images, 50, generator)
        slot, yx = torch.cat([slot, uniform_slot]), torch.cat([yx, uniform])
        error = torch.where((yx[:, 0] >= hard[0]) & (yx[:, 0] < hard[1]), 0.5, 0.01)
        strategy.learn(seen(images, slot, yx, error))
    assert least <= strategy.edge_share <= most
    assert strategy.statistics()["On Edges"] == strategy.edge_share


def test_the_spread_goes_on_after_a_checkpoint(generator):
    strategy, _ = setting(diffusion, generator)
    strategy.load_state({**strategy.state(), "spread": torch.tensor([18.0, 20.0])})
    assert strategy.spread == pytest.approx(0.9)


@pytest.mark.parametrize("make", ALL)
def test_drawing_changes_no_tensor_of_a_strategy_in_place(make, generator):
    """The contract of the base class: a shallow copy from before a draw is the strategy as it was."""
    strategy, images = setting(make, generator, masks=torch.rand((N, HEIGHT, WIDTH, 1), generator=generator) < 0.5)
    run(strategy, images, FIRST_PERIOD + 1 if make is ErrorMap else 2)
    for count in (100, 3000):  # the second one needs more walkers
        before, values = copy.copy(strategy), {}
        for name, tensor in tensors_of(before):
            values[name] = tensor.clone()
        random = strategy.generator.get_state()
        drawn = strategy.draw(images, count)
        for name, tensor in tensors_of(before):
            torch.testing.assert_close(tensor, values[name], rtol=0, atol=0, equal_nan=True)
        strategy.generator.set_state(random)
        for one, two in zip(before.draw(images, count), drawn, strict=True):
            assert torch.equal(one, two)
        run(strategy, images, 1)


def tensors_of(thing, name=""):
    """Tensors that can be reached from a strategy, but for densities, which are worked out once and for all."""
    for key, value in vars(thing).items():
        if isinstance(value, torch.Tensor):
            yield f"{name}.{key}", value
        elif hasattr(value, "__dict__") and not isinstance(value, (Densities, Images)) and not callable(value):
            yield from tensors_of(value, f"{name}.{key}")


def test_the_papers_walkers_have_all_rays(generator):
    strategy, images = setting(langevin, generator)
    strategy.draw(images, 500)
    assert len(strategy.walkers.yx.flatten(0, 1)) == 500
    assert "On Edges" not in strategy.statistics()


def test_only_drift_needs_the_score(generator):
    assert not any(setting(make, generator)[0].needs_score for make in ALL)
    assert Walking(Densities(1, Sobel()), generator, Langevin(drift=1.0), edge_rays=False).needs_score


@pytest.mark.parametrize("make", [UniformPerImage, StaticEdges])
@pytest.mark.parametrize(("count", "counts"), [(500, {100}), (502, {100, 101}), (3, {0, 1})])
def test_every_image_gets_its_share_whatever_its_mask(make, count, counts, generator):
    masks = torch.ones(N, HEIGHT, WIDTH, 1)
    masks[1, 3:] = 0
    strategy, images = setting(make, generator, masks=masks)
    slot, _ = strategy.draw(images, count)
    assert {*slot.bincount(minlength=N).tolist()} == counts


@pytest.mark.parametrize("make", [Uniform, WeightedUniform, UniformPerImage, Foreground])
def test_pixels_are_uniform_over_what_is_drawn_from(make, generator):
    strategy, images = setting(make, generator)
    _, yx = run(strategy, images, 20, 1000)
    width = WIDTH // 3 if make is Foreground else WIDTH
    assert yx[:, 1].max() < width
    blocks = (yx / torch.tensor([HEIGHT / 4, width / 4])).long() @ torch.tensor([4, 1])
    torch.testing.assert_close(blocks.bincount(minlength=16) / len(yx), torch.full((16,), 1 / 16), atol=0.01, rtol=0)


def test_foreground_weighs_images_by_how_much_of_it_they_show(generator):
    pixels = rgba(generator)
    pixels[1:, ..., 3] = 0
    pixels[1, :, : WIDTH // 6, 3] = 0.01  # hardly opaque is not transparent
    strategy, images = setting(Foreground, generator, pixels=pixels)
    slot, _ = run(strategy, images, 10, 900)
    torch.testing.assert_close(
        slot.bincount(minlength=N) / 9000, torch.tensor([2 / 3, 1 / 3, 0, 0, 0]), atol=0.02, rtol=0
    )


def test_foreground_without_an_alpha_channel_says_how_to_have_one(generator):
    strategy, images = setting(Foreground, generator, pixels=torch.zeros(N, HEIGHT, WIDTH, 3))
    with pytest.raises(ValueError, match=r"needs RGBA images; these have 3 channels .*--alpha-color None"):
        strategy.draw(images, 5)


def test_static_edges_are_found(generator):
    pixels = torch.zeros(N, HEIGHT, WIDTH, 3)
    pixels[:, :, WIDTH // 2 :] = 1
    strategy, images = setting(StaticEdges, generator, pixels=pixels)
    _, yx = run(strategy, images, 10)
    assert ((yx[:, 1] - WIDTH / 2).abs() <= 3).float().mean() > 0.9


def test_the_error_map_is_uniform_until_its_first_period_ends(generator):
    strategy, images = setting(ErrorMap, generator)
    _, yx = run(strategy, images, FIRST_PERIOD, 100, lambda _, yx: (yx[:, 1] < 32).float())
    torch.testing.assert_close((yx[:, 1] < 32).float().mean(), torch.tensor(1 / 3), atol=0.02, rtol=0)
    assert strategy.period == int(FIRST_PERIOD * PERIOD_GROWTH)


def test_the_error_map_draws_by_the_losses_of_the_period_before(generator):
    """All loss in image 3, left third (11 cells): its image's chance and, of that, half by the map and half by area."""
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
    """With the same loss everywhere, the second map is flat although the first drew most rays in one place."""
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


def test_rays_that_the_error_map_did_not_draw_do_not_reach_it(generator):
    strategy, images = setting(ErrorMap, generator)
    slot, yx = strategy.draw(images, 30)
    strategy.learn(seen(images, torch.cat([slot, slot]), torch.cat([yx, yx]), torch.ones(60)))
    assert strategy.sums.sum() == pytest.approx(30, rel=1e-3)


def test_a_loss_that_is_not_finite_does_not_reach_the_map(generator):
    strategy, images = setting(ErrorMap, generator)
    run(strategy, images, 2, 50, lambda _, yx: torch.where(yx[:, 0] < 10, torch.nan, 1.0))
    assert strategy.sums.isfinite().all()
    assert strategy.sums.sum() > 0


def test_the_share_of_redrawn_walkers_is_told(generator):
    strategy, images = setting(
        lambda r, g: Walking(r, g, Langevin(0.0, 0.0, respawn_fraction=0.25), edge_rays=False), generator
    )
    slot, yx = strategy.draw(images, 400)
    strategy.learn(seen(images, slot, yx, torch.arange(400.0)))
    assert strategy.statistics() == {"Redrawn": 0.25}


def test_rays_beyond_the_walkers_own_are_passed_over(generator):
    strategy, images = setting(langevin, generator)
    slot, yx = strategy.draw(images, 30)
    more = torch.cat([slot, slot[:5]]), torch.cat([yx, yx[:5]])
    strategy.learn(seen(images, *more, torch.cat([torch.ones(30), torch.full((5,), torch.nan)])))
    assert (strategy.walkers.error == 1).sum() == 30


def test_walkers_stay_on_what_is_allowed_instead_of_reappearing(generator):
    masks = torch.zeros(N, HEIGHT, WIDTH, 1)
    masks[:, ::8, ::8] = 1
    strategy, images = setting(
        lambda r, g: Walking(r, g, Langevin(0.0, 2.0, respawn_fraction=0.0), edge_rays=False), generator, masks=masks
    )
    run(strategy, images, 3)
    before = strategy.walkers.yx
    run(strategy, images, 1)
    stayed = (strategy.walkers.yx == before).all(-1)
    assert stayed.float().mean() > 0.8


def test_walkers_that_resume_under_another_mask_leave_what_it_forbids(generator):
    strategy, images = setting(langevin, generator)
    run(strategy, images, 2)
    masks = torch.zeros(N, HEIGHT, WIDTH, 1)
    masks[:, :, : WIDTH // 4] = 1
    resumed, masked = setting(langevin, generator, masks=masks)
    resumed.load_state(strategy.state())
    first = Images(masked.ids[:2], masked.pixels[:2], masks[:2])  # the other images are loaded later
    for some in (first, masked):
        _, yx = resumed.draw(some, 200)
        assert (yx[:, 1] < WIDTH // 4).all()


def test_walkers_that_resume_on_smaller_images_stay_within(generator):
    strategy, images = setting(langevin, generator)
    run(strategy, images, 2)
    resumed, halved = setting(langevin, generator, pixels=images.pixels[:, ::2, ::2])
    resumed.load_state(strategy.state())
    before = resumed.walkers.yx
    _, yx = resumed.draw(halved, 500)
    assert (yx < torch.tensor([HEIGHT // 2, WIDTH // 2])).all()
    stayed = (before < torch.tensor([HEIGHT // 2, WIDTH // 2])).all(-1)
    assert torch.equal(resumed.walkers.yx[stayed], before[stayed])
