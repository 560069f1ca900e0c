"""The chain of the walkers: where it goes, who dies, and that it follows the density it is shown."""

import math
from dataclasses import replace

import pytest
import torch

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.walkers import Walkers, lowest
from softmining_nerfstudio.mining.walks import Diffusion, Langevin

STILL = Langevin(drift=0.0, noise=0.0, respawn_fraction=0.0)
NON_FINITE = [math.nan, math.inf, -math.inf]


def population(generator, images=3, per_image=5, size=(40, 60)):
    yx = torch.rand((images, per_image, 2), generator=generator) * torch.tensor(size)
    return Walkers(yx, torch.rand((images, per_image), generator=generator))


def situation(generator, n, size=(40, 60)):
    """What n walkers saw: distinct losses, gentle scores."""
    return seen_by(
        error=torch.rand(n, generator=generator),
        loss=torch.randperm(n, generator=generator) + 1.0,
        score=torch.randn((n, 2), generator=generator) / 10,
        size=torch.tensor(size).expand(n, 2),
    )


def seen_by(error, loss, score, size):
    """Walkers do not ask where their rays were drawn: they know."""
    n = len(error)
    return Seen(torch.zeros(n, dtype=torch.long), torch.zeros(n, 2), size, error, loss, score)


def positions(walkers, index):
    return walkers.yx.flatten(0, 1)[index]


def test_a_new_population_is_dead_and_has_seen_nothing():
    walkers = Walkers.dead(3, 5)
    assert walkers.yx.shape == (3, 5, 2)
    assert walkers.per_image == 5
    assert walkers.yx.isnan().all()
    assert walkers.error.isnan().all()


def test_growing_keeps_the_old_walkers_and_adds_dead_ones(generator):
    walkers = population(generator)
    grown = walkers.grown(8)
    assert grown.per_image == 8
    assert torch.equal(grown.yx[:, :5], walkers.yx)
    assert torch.equal(grown.error[:, :5], walkers.error)
    assert grown.yx[:, 5:].isnan().all()
    assert grown.error[:, 5:].isnan().all()


@pytest.mark.parametrize("count", [0, 1, 7, 8])
def test_no_walker_is_chosen_twice_and_only_in_the_given_slots(generator, count):
    slots, ids = torch.tensor([3, 0]), torch.tensor([6, 1, 2, 4])
    slot, index = Walkers.dead(7, 4).choose(slots, ids, count, generator)
    assert len(index.unique()) == len(index) == count
    assert set(slot.tolist()) <= {0, 3}
    assert torch.equal(index // 4, ids[slot])


def test_every_walker_is_chosen_equally_often(generator):
    walkers, slots, ids = Walkers.dead(4, 3), torch.tensor([0, 2]), torch.tensor([3, 1, 0])
    index = torch.cat([walkers.choose(slots, ids, 2, generator)[1] for _ in range(3000)])
    expected = torch.tensor([1 / 6] * 3 + [0] * 6 + [1 / 6] * 3)
    torch.testing.assert_close(index.bincount(minlength=12) / len(index), expected, atol=0.02, rtol=0)


def test_placing_moves_the_named_walkers_only(generator):
    walkers, index = population(generator), torch.tensor([14, 2])
    placed = walkers.place(index, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert placed.yx[2, 4].tolist() == [1, 2]
    assert placed.yx[0, 2].tolist() == [3, 4]
    others = torch.ones(15, dtype=torch.bool).index_fill(0, index, False)
    assert torch.equal(positions(placed, others), positions(walkers, others))
    assert torch.equal(placed.error, walkers.error)


def test_without_drift_and_noise_walkers_stay_where_they_are(generator):
    walkers = population(generator)
    after, died = walkers.step(torch.arange(15), situation(generator, 15), walk=STILL, generator=generator)
    assert torch.equal(after.yx, walkers.yx)
    assert not died.any()


@pytest.mark.parametrize("noise", [0.5, 8.0, 100.0])
@pytest.mark.parametrize("drift", [0.0, 4.0, 1e6])
def test_walkers_stay_inside_their_image_or_die(generator, drift, noise):
    walkers, config = population(generator), Langevin(drift, noise)
    for _ in range(20):
        walkers, died = walkers.step(torch.arange(15), situation(generator, 15), walk=config, generator=generator)
        yx = positions(walkers, torch.arange(15))
        assert torch.equal(yx.isnan().all(-1), died)
        assert ((yx[~died] >= 0) & (yx[~died] < torch.tensor([40, 60]))).all()


@pytest.mark.parametrize(
    ("step", "dies"), [([0, -0.5], False), ([0, -0.51], True), ([3.49, 0], False), ([3.5, 0], True), ([0, 5.5], True)]
)
def test_a_walker_dies_exactly_where_its_image_ends(generator, step, dies):
    walkers = Walkers(torch.full((1, 1, 2), 0.5), torch.full((1, 1), math.nan))
    seen = seen_by(torch.ones(1), torch.ones(1), torch.tensor([step]).float(), torch.tensor([[4, 6]]))
    _, died = walkers.step(torch.tensor([0]), seen, walk=Langevin(1.0, 0.0, respawn_fraction=0.0), generator=generator)
    assert died.item() is dies


def test_only_the_named_walkers_move_and_see(generator):
    walkers, index = population(generator), torch.tensor([7, 3])
    seen = situation(generator, 2)
    after, _ = walkers.step(index, seen, walk=Langevin(), generator=generator)
    others = torch.ones(15, dtype=torch.bool).index_fill(0, index, False)
    assert torch.equal(positions(after, others), positions(walkers, others))
    assert torch.equal(after.error.flatten()[others], walkers.error.flatten()[others])
    assert torch.equal(after.error.flatten()[index], seen.error)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_may_report_in_half_precision(generator, dtype):
    walkers, seen = population(generator), situation(generator, 15)
    halved = replace(seen, **{name: getattr(seen, name).to(dtype) for name in ("error", "loss", "score")})
    after, _ = walkers.step(torch.arange(15), halved, walk=STILL, generator=generator)
    assert after.yx.dtype == after.error.dtype == torch.float32
    torch.testing.assert_close(after.error.flatten(), seen.error, atol=0.01, rtol=0)


def test_inputs_are_left_as_they_were(generator):
    walkers, seen, index = population(generator), situation(generator, 15), torch.randperm(15, generator=generator)
    seen.score[3] = math.nan
    tensors = [walkers.yx, walkers.error, index, *(value for value in vars(seen).values() if value is not None)]
    copies = [tensor.clone() for tensor in tensors]
    walkers.step(index, seen, walk=Langevin(), generator=generator)
    walkers.place(index, torch.zeros(15, 2))
    walkers.grown(9)
    walkers.choose(torch.arange(3), torch.arange(3), 4, generator)
    for tensor, copy in zip(tensors, copies, strict=True):
        torch.testing.assert_close(tensor, copy, rtol=0, atol=0, equal_nan=True)


def test_same_seed_same_chain(generator):
    start, seen = population(generator), situation(generator, 15)

    def chain(seed):
        walkers, own = start, torch.Generator().manual_seed(seed)
        for _ in range(4):
            walkers, _ = walkers.step(torch.arange(15), seen, walk=Langevin(noise=1.0), generator=own)
        return walkers.yx.nan_to_num(-1)

    assert torch.equal(chain(5), chain(5))
    assert not torch.equal(chain(5), chain(6))


def test_the_order_in_which_walkers_are_named_does_not_matter(generator):
    walkers, seen, order = population(generator), situation(generator, 15), torch.randperm(15, generator=generator)
    seen.error[4], seen.score[9] = math.nan, math.inf
    config = Langevin(noise=0.0, respawn_fraction=0.3)
    after, died = walkers.step(torch.arange(15), seen, walk=config, generator=generator)
    permuted = Seen(*(values[order] for values in vars(seen).values()))
    after_permuted, died_permuted = walkers.step(order, permuted, walk=config, generator=generator)
    torch.testing.assert_close(after_permuted.yx, after.yx, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(after_permuted.error, after.error, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(died_permuted, died[order])


@pytest.mark.parametrize("images", [1, 40])
@pytest.mark.parametrize("size", [(100, 100), (4000, 6000)])
def test_a_step_is_the_same_in_pixels_for_any_batch_size_and_resolution(generator, images, size):
    walkers = Walkers(torch.full((images, 1, 2), 50.0), torch.ones(images, 1))
    score = torch.tensor([[0.25, -1.5]]).expand(images, 2)
    after, _ = walkers.step(
        torch.arange(images),
        seen_by(torch.ones(images), torch.ones(images), score, torch.tensor(size).expand(images, 2)),
        Langevin(drift=4.0, noise=0.0, respawn_fraction=0.0),
        generator,
    )
    assert torch.equal(after.yx - walkers.yx, torch.tensor([1.0, -6.0]).expand(images, 1, 2))


@pytest.mark.parametrize("score", [None, torch.zeros(5000, 2)])
def test_the_noise_is_normal_with_its_deviation_in_pixels(generator, score):
    walkers = Walkers(torch.full((1, 5000, 2), 500.0), torch.ones(1, 5000))
    seen = seen_by(torch.ones(5000), torch.ones(5000), None, torch.full((5000, 2), 1000))
    config = Langevin(noise=16.0, respawn_fraction=0.0)
    after, _ = walkers.step(torch.arange(5000), replace(seen, score=score), walk=config, generator=generator)
    moved = (after.yx - walkers.yx)[0] / 16
    assert moved.mean(0).abs().max() < 0.06
    torch.testing.assert_close(moved.T.cov(), torch.eye(2), atol=0.08, rtol=0)
    torch.testing.assert_close((moved**4).mean(0), torch.full((2,), 3.0), atol=0.6, rtol=0)


@pytest.mark.parametrize(
    ("n", "fraction"), [(10, 0.1), (4096, 0.25), (100, 0.125), (7, 0.5), (5, 0.0), (5, 1.0), (0, 1.0)]
)
def test_exactly_the_walkers_of_lowest_loss_die(generator, n, fraction):
    walkers, seen = population(generator, images=1, per_image=n), situation(generator, n)
    config = replace(STILL, respawn_fraction=fraction)
    _, died = walkers.step(torch.arange(n), seen, walk=config, generator=generator)
    assert died.sum() == round(n * fraction)
    assert torch.equal(died, seen.loss <= round(n * fraction))


def test_a_move_onto_a_forbidden_pixel_is_not_made(generator):
    walkers, seen = population(generator, images=1, per_image=500), situation(generator, 500)
    left = walkers.yx[..., 1] < 30
    walkers = replace(walkers, yx=torch.where(left[..., None], walkers.yx, walkers.yx - torch.tensor([0.0, 30.0])))
    config = Langevin(drift=0.0, noise=8.0, respawn_fraction=0.0)

    def step(area):
        return walkers.step(torch.arange(500), seen, walk=config, generator=generator.manual_seed(3), area=area)

    (free, died), (kept, died_too) = step(None), step(lambda yx: (yx[:, 1] < 30).float())
    barred = (free.yx[..., 1] >= 30) & ~died
    assert barred.sum() > 50
    assert torch.equal(died_too, died)
    torch.testing.assert_close(kept.yx, torch.where(barred[..., None], walkers.yx, free.yx), equal_nan=True)


def test_walkers_are_as_dense_as_the_area_of_the_pixels(generator):
    """Pixels on the right have a quarter of the area of those on the left."""
    walkers, seen = population(generator, images=1, per_image=2000), situation(generator, 2000)
    seen = replace(seen, score=torch.zeros(2000, 2))
    for _ in range(200):
        walkers, _ = walkers.step(
            torch.arange(2000),
            seen,
            walk=Diffusion(noise=0.2, respawn_fraction=0.0),
            generator=generator,
            area=lambda yx: torch.where(yx[:, 1] < 30, 1.0, 0.25),
        )
    assert (walkers.yx[..., 1] < 30).float().mean() == pytest.approx(0.8, abs=0.03)


def test_of_equal_losses_the_first_are_the_lowest():
    loss = torch.ones(300)
    loss[::3] = 0
    assert lowest(loss, 0.1).nonzero()[:, 0].tolist() == list(range(0, 90, 3))


@pytest.mark.parametrize("value", NON_FINITE)
@pytest.mark.parametrize("what", ["score", "error", "loss"])
def test_a_non_finite_number_kills_its_own_walker_and_no_other(generator, what, value):
    walkers, seen = population(generator), situation(generator, 15)
    config = replace(STILL, drift=1e-3)
    healthy, _ = walkers.step(torch.arange(15), seen, walk=config, generator=generator)
    getattr(seen, what)[6] = value
    after, died = walkers.step(torch.arange(15), seen, walk=config, generator=generator)
    assert died.nonzero().tolist() == [[6]]
    others = torch.arange(15) != 6
    assert torch.equal(positions(after, others), positions(healthy, others))


def test_a_non_finite_loss_does_not_count_among_the_lowest():
    loss = torch.tensor([3.0, math.nan, 1.0, math.inf, 2.0])
    assert lowest(loss, 0.4).tolist() == [False, False, True, False, True]


def mixture(yx):
    """Log of a smooth density on a 160 x 200 image, and its gradient: two overlapping bells, one above the other."""
    yx = yx.clone().requires_grad_()
    centres, shares = torch.tensor([[70.0, 80.0], [90.0, 120.0]]), torch.tensor([0.7, 0.3])
    exponents = -((yx[:, None] - centres) ** 2).sum(-1) / (2 * 14**2)
    log_density = (exponents + shares.log()).logsumexp(-1)
    (gradient,) = torch.autograd.grad(log_density.sum(), yx)
    return log_density.detach(), gradient


def largest_deviation_after_a_long_chain(config, generator, n=2000, steps=150):
    """Between the shares of walkers and of the exact density in blocks of 20 x 20 pixels; all start in one corner."""
    size = torch.tensor([160, 200])
    walkers = Walkers((torch.rand((1, n, 2), generator=generator) * 40 + 40), torch.full((1, n), math.nan))
    for _ in range(steps):
        centres = positions(walkers, slice(None)).floor() + 0.5
        log_density, score = mixture(centres)
        walkers, _ = walkers.step(
            torch.arange(n),
            seen_by(log_density.exp(), log_density.exp(), score, size.expand(n, 2)),
            config,
            generator,
        )
    yx = positions(walkers, slice(None))
    row, column = (yx[yx.isfinite().all(-1)] / 20).long().unbind(-1)
    shares = (row * 10 + column).bincount(minlength=80) / n
    grid = torch.cartesian_prod(torch.arange(160) + 0.5, torch.arange(200) + 0.5)
    exact = mixture(grid)[0].exp().view(8, 20, 10, 20).sum((1, 3)).flatten()
    return (shares - exact / exact.sum()).abs().max()


LANGEVIN = Langevin(drift=6.0**2 / 2, noise=6.0, respawn_fraction=0.0)


def test_the_chain_converges_to_the_density_of_the_error(generator):
    assert largest_deviation_after_a_long_chain(LANGEVIN, generator) < 0.02


@pytest.mark.parametrize("wrong", [{"drift": 0.0}, {"drift": 6.0**2}, {"noise": 12.0}])
def test_a_chain_with_other_drift_or_noise_does_not(generator, wrong):
    assert largest_deviation_after_a_long_chain(replace(LANGEVIN, **wrong), generator) > 0.03


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drift", -1.0),
        ("drift", math.nan),
        ("noise", math.inf),
        ("respawn_fraction", 1.5),
        ("respawn_fraction", -0.1),
        ("respawn_fraction", math.nan),
    ],
)
def test_an_impossible_setting_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=rf"\b{name} is {value}; expected"):
        Langevin(**{name: value})


@pytest.mark.parametrize("fields", [{"drift": 0.0, "noise": 0.0}, {"respawn_fraction": 0.0}, {"respawn_fraction": 1.0}])
def test_the_limits_themselves_are_allowed(fields):
    Langevin(**fields)
