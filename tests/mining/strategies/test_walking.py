"""Walkers by lot, and rays on edges besides."""

import pytest
import torch
from drawing import HEIGHT, WIDTH, N, diffusion, langevin, run, seen, setting

from softmining_nerfstudio.mining.pixels.images import Images
from softmining_nerfstudio.mining.strategies.spread import SpreadEstimate
from softmining_nerfstudio.mining.strategies.walking import MOST_ON_EDGES, Walking
from softmining_nerfstudio.mining.walks import Diffusion, Langevin


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
        error[500 - edges :] = torch.nan  # it reaches no walker
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


def test_the_papers_walkers_have_all_rays(generator):
    strategy, images = setting(langevin, generator)
    strategy.draw(images, 500)
    assert len(strategy.walkers.yx.flatten(0, 1)) == 500
    assert "On Edges" not in strategy.statistics()


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
