"""The score is the gradient of the log loss, whatever the loss is scaled by; a broken ray harms only itself."""

import gc
import math
import weakref
from dataclasses import replace

import pytest
import torch

from softmining_nerfstudio.mining.feedback import Feedback, Places
from softmining_nerfstudio.mining.importance import Importance
from softmining_nerfstudio.mining.walkers import Walkers
from softmining_nerfstudio.mining.walks import Langevin

SOFT = Importance()
BROKEN = [math.nan, math.inf, -math.inf]


def squared(target, predicted):
    return ((predicted - target) ** 2).mean(-1)


def absolute(target, predicted):
    return (predicted - target).abs().mean(-1)


class Painting(torch.nn.Module):
    """A smooth image with parameters: colours (rays, 3) at pixel positions (rays, 2)."""

    def __init__(self):
        super().__init__()
        self.waves = torch.nn.Parameter(torch.tensor([[0.11, 0.05, -0.07], [0.02, -0.09, 0.13]], dtype=torch.float64))
        self.phases = torch.nn.Parameter(torch.tensor([0.3, 1.0, 2.2], dtype=torch.float64))

    def forward(self, yx):
        return 0.5 + 0.4 * torch.sin(yx @ self.waves + self.phases)


def rays(generator, n=12):
    """Pixel centres and the colours there."""
    yx = torch.randint(60, (n, 2), generator=generator).double() + 0.5
    return yx, torch.rand((n, 3), generator=generator, dtype=torch.float64)


def places_at(yx):
    return Places(torch.zeros(len(yx), dtype=torch.long), yx.float(), torch.full((len(yx), 2), 60))


def feedback_at(yx, importance=SOFT, alpha=0.6):
    return Feedback(importance, alpha, places_at(yx), yx.clone().requires_grad_())


def score_of(yx, target, per_ray=squared, factor=1.0, importance=SOFT, alpha=0.6, painting=None):
    feedback, painting = feedback_at(yx, importance, alpha), painting or Painting()
    (factor * feedback.correct(per_ray, target, painting(feedback.centres))).backward()
    return feedback.score()


def finite_differences(log_loss, yx, step=1e-5):
    return torch.stack([(log_loss(yx + step * d) - log_loss(yx - step * d)) / (2 * step) for d in torch.eye(2)], -1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_model_on_the_gpu_scores_positions_on_the_cpu(generator):
    yx, target = rays(generator)
    feedback, painting = feedback_at(yx), Painting().cuda()
    feedback.correct(squared, target.cuda(), painting(feedback.centres.cuda())).backward()
    torch.testing.assert_close(feedback.score(), score_of(yx, target))


@pytest.mark.parametrize("per_ray", [squared, absolute])
def test_the_score_agrees_with_finite_differences_of_the_log_loss(generator, per_ray):
    yx, target = rays(generator)
    expected = finite_differences(lambda at: per_ray(target, Painting()(at)).log(), yx)
    torch.testing.assert_close(score_of(yx, target, per_ray), expected.detach(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("factor", [1e-6, 0.01, 65536.0])
def test_a_loss_multiplier_or_a_gradient_scaler_cancels(generator, factor):
    yx, target = rays(generator)
    torch.testing.assert_close(score_of(yx, target, factor=factor), score_of(yx, target))


@pytest.mark.parametrize("n", [1, 5])
def test_the_batch_size_cancels(generator, n):
    yx, target = rays(generator)
    torch.testing.assert_close(score_of(yx[:n], target[:n]), score_of(yx, target)[:n])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("importance", [SOFT, Importance(max_weight_stds=0.0)])
def test_the_weights_cancel(generator, alpha, importance):
    yx, target = rays(generator)
    torch.testing.assert_close(score_of(yx, target, importance=importance, alpha=alpha), score_of(yx, target))


def test_the_other_rays_do_not_matter(generator):
    yx, target = rays(generator)
    others = target.clone()
    others[1:] = torch.rand((11, 3), generator=generator)
    torch.testing.assert_close(score_of(yx, others)[0], score_of(yx, target)[0])


def test_under_gradient_accumulation_each_batch_has_its_own_score(generator):
    painting = Painting()
    for yx, target in (rays(generator), rays(generator)):
        torch.testing.assert_close(score_of(yx, target, factor=0.5, painting=painting), score_of(yx, target))


def test_coarse_and_fine_give_the_score_of_the_sum_of_their_weighted_losses(generator):
    (yx, target), fine = rays(generator), Painting()
    feedback = feedback_at(yx)

    def coarse(at):
        return fine(at) * 0.5 + 0.1

    loss = 0.1 * feedback.correct(squared, target, coarse(feedback.centres))
    coarse_weights = feedback.weights
    (loss + feedback.correct(squared, target, fine(feedback.centres))).backward()
    expected = finite_differences(
        lambda at: (
            0.1 * coarse_weights * squared(target, coarse(at)) + feedback.weights * squared(target, fine(at))
        ).log(),
        yx,
    )
    torch.testing.assert_close(feedback.score(), expected.detach(), rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(feedback.error, (fine(yx) - target).abs().mean(-1).detach())


def test_the_loss_is_the_mean_of_weight_times_loss_and_notes_what_it_was_made_of(generator):
    (yx, target), painting = rays(generator), Painting()
    feedback = feedback_at(yx)
    loss = feedback.correct(squared, target, painting(feedback.centres))
    error = (painting(yx) - target).abs().mean(-1).detach()
    torch.testing.assert_close(feedback.error, error)
    torch.testing.assert_close(feedback.weights, SOFT.weights(error, 0.6))
    torch.testing.assert_close(feedback.loss, (feedback.weights * squared(target, painting(yx))).detach())
    torch.testing.assert_close(loss, feedback.loss.mean())
    assert not any(noted.requires_grad for noted in (feedback.error, feedback.weights, feedback.loss))


@pytest.mark.parametrize("per_ray", [squared, absolute])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_parameters_get_the_gradient_of_the_loss_with_its_weights_held_constant(generator, per_ray, alpha):
    (yx, target), painting = rays(generator), Painting()
    feedback = feedback_at(yx, alpha=alpha)
    found = torch.autograd.grad(
        feedback.correct(per_ray, target, painting(feedback.centres)), [*painting.parameters()], retain_graph=True
    )
    weights = SOFT.weights((painting(yx) - target).abs().mean(-1).detach(), alpha)
    expected = torch.autograd.grad((weights * per_ray(target, painting(yx))).mean(), [*painting.parameters()])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("where", [(3, slice(None)), (3, 1)], ids=["all channels", "one channel"])
@pytest.mark.parametrize("of_target", [False, True])
def test_a_broken_ray_harms_only_itself(generator, value, where, of_target):
    (yx, target), painting = rays(generator), Painting()
    others, feedback = torch.arange(12) != 3, feedback_at(yx)
    damage = torch.zeros_like(target)
    damage[where] = value
    predicted = painting(feedback.centres) + (0 if of_target else damage)
    feedback.correct(squared, target + (damage if of_target else 0), predicted).backward()

    assert feedback.error.isnan().tolist() == (~others).tolist()
    assert feedback.loss.isnan().tolist() == (~others).tolist()
    assert feedback.weights[3] == 0
    assert feedback.score()[3].tolist() == [0, 0]

    alone, intact = feedback_at(yx[others]), Painting()
    alone.correct(squared, target[others], intact(alone.centres)).backward()
    torch.testing.assert_close(feedback.score()[others], alone.score())
    for parameter, expected in zip(painting.parameters(), intact.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad * 11 / 12)  # the mean is over all rays


def test_a_batch_of_broken_rays_has_no_gradient(generator):
    (yx, target), painting = rays(generator), Painting()
    feedback = feedback_at(yx)
    feedback.correct(squared, target, painting(feedback.centres) + math.nan).backward()
    assert feedback.error.isnan().all()
    assert all((parameter.grad == 0).all() for parameter in painting.parameters())


@pytest.mark.parametrize("per_ray", [squared, absolute])
def test_a_perfect_ray_has_no_direction(generator, per_ray):
    (yx, target), painting = rays(generator), Painting()
    target[5] = painting(yx)[5].detach()
    score = score_of(yx, target, per_ray)
    assert score[5].tolist() == [0, 0]
    assert score.isfinite().all()


def test_without_a_gradient_asked_for_there_is_no_score(generator):
    (yx, target), painting = rays(generator), Painting()
    feedback = Feedback(SOFT, 0.6, places_at(yx), yx)
    feedback.correct(squared, target, painting(yx)).backward()
    assert feedback.score() is None
    assert feedback.error is not None


def test_before_the_backward_pass_there_is_no_score(generator):
    yx, target = rays(generator)
    feedback = feedback_at(yx)
    feedback.correct(squared, target, Painting()(feedback.centres))
    assert feedback.score() is None


def test_without_autograd_the_loss_is_the_same_and_there_is_no_score(generator):
    yx, target = rays(generator)
    feedback = feedback_at(yx)
    with torch.no_grad():
        loss = feedback.correct(squared, target, Painting()(feedback.centres))
    torch.testing.assert_close(loss, feedback.loss.mean())
    assert feedback.score() is None


def test_colours_and_positions_are_left_as_they_were(generator):
    yx, target = rays(generator)
    target[2] = math.nan
    feedback, predicted = feedback_at(yx), Painting()(yx).detach()
    copies = target.clone(), predicted.clone()
    feedback.correct(squared, target, predicted)
    torch.testing.assert_close((target, predicted), copies, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(feedback.centres, yx)


@pytest.mark.parametrize("backward", [False, True])
def test_nothing_of_a_step_outlives_it(generator, backward):
    yx, target = rays(generator)
    feedback = feedback_at(yx)
    loss = feedback.correct(squared, target, Painting()(feedback.centres))
    if backward:
        loss.backward()
    gone = weakref.ref(feedback), weakref.ref(feedback.centres)
    del feedback, loss
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize("copies", [1, 50])
@pytest.mark.parametrize("size", [100, 5000])
def test_the_drift_is_the_same_in_pixels_for_any_batch_size_and_resolution(generator, copies, size):
    """The same painting at the far corner of an image, seen by one walker or by many."""
    _, target = rays(generator, 1)
    here = torch.full((copies, 2), size - 40.5, dtype=torch.float64)
    feedback, corner = feedback_at(here), size - 100
    feedback.correct(squared, target.expand(copies, 3), Painting()(feedback.centres - corner)).backward()
    after, _ = Walkers(here[None], torch.ones((1, copies), dtype=torch.float64)).step(
        torch.arange(copies),
        replace(feedback.seen(), size=torch.full((copies, 2), size)),
        Langevin(drift=4.0, noise=0.0, respawn_fraction=0.0),
        generator,
    )
    expected = 4 * score_of(torch.full((1, 2), 59.5, dtype=torch.float64), target)
    torch.testing.assert_close(after.yx[0] - here, expected.expand(copies, 2), rtol=1e-6, atol=1e-9)
