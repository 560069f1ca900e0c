"""The weights agree with a naive loop, and at alpha = 1 make mining unbiased."""

import math
import statistics

import pytest
import torch

from softmining_nerfstudio.mining.importance import Importance, colour_error, effective_sample_size, moments

UNCLAMPED = Importance(min_error=1e-9, max_weight_stds=math.inf)
ERRORS = {
    "typical": [0.3, 0.02, 0.11, 0.5, 0.07, 0.9],
    "perfect rays": [0.0, 0.0, 0.4, 1e-5, 0.2],
    "all alike": [0.25] * 5,
    "one ray": [0.1],
    "brighter than one": [3.0, 40.0, 0.5],
    "not finite": [0.3, math.nan, 0.02, math.inf, 0.11, -math.inf],
}


def naive_weights(errors, alpha, config):
    plain = [max(error, config.min_error) ** -alpha for error in errors if math.isfinite(error)]
    spread = statistics.stdev(plain) if len(plain) > 1 else 0.0
    highest = math.inf
    if math.isfinite(config.max_weight_stds):
        highest = statistics.mean(plain) + config.max_weight_stds * spread
    clamped = iter([min(weight, highest) for weight in plain])
    return [next(clamped) if math.isfinite(error) else 0.0 for error in errors]


@pytest.mark.parametrize("errors", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(
    "config",
    [
        Importance(),
        Importance(min_error=0.1, max_weight_stds=0.5),
        Importance(max_weight_stds=math.inf),
        UNCLAMPED,
    ],
    ids=["default", "narrow", "no upper bound", "unclamped"],
)
def test_weights_agree_with_a_naive_loop(errors, alpha, config):
    expected = torch.tensor(naive_weights(errors, alpha, config))
    torch.testing.assert_close(config.weights(torch.tensor(errors), alpha), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stds", [0.0, 1.0, math.inf])
def test_hard_mining_corrects_nothing(generator, stds):
    config = Importance(max_weight_stds=stds)
    assert torch.equal(config.weights(torch.rand(4096, generator=generator), 0.0), torch.ones(4096))


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_harder_rays_weigh_less(generator, alpha):
    error = torch.rand(100, generator=generator).sort().values
    assert (Importance().weights(error, alpha).diff() <= 0).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_non_finite_error_weighs_nothing_and_leaves_the_others_alone(generator, value):
    error, config = torch.rand(50, generator=generator), Importance()
    broken = torch.arange(50) % 9 == 4
    weights = config.weights(torch.where(broken, value, error), 0.6)
    assert (weights[broken] == 0).all()
    torch.testing.assert_close(weights[~broken], config.weights(error[~broken], 0.6))


def test_a_batch_of_non_finite_errors_weighs_nothing():
    weights = Importance().weights(torch.full((4,), math.nan), 0.6)
    assert torch.equal(weights, torch.zeros(4))


def test_errors_are_left_as_they_were(generator):
    error = torch.rand(50, generator=generator) * 1e-3
    copy = error.clone()
    Importance().weights(error, 0.6)
    assert torch.equal(error, copy)


def weighted_mean_of_mined_pixels(alpha, generator):
    """Of the squared error, as estimated from pixels drawn in proportion to their error; and its mean over all."""
    error = torch.rand(1000, generator=generator) * 0.9 + 0.05
    drawn = torch.multinomial(error, 50_000, replacement=True, generator=generator)
    weights = UNCLAMPED.weights(error[drawn], alpha)
    return (weights * error[drawn] ** 2).sum() / weights.sum(), (error**2).mean()


def test_full_correction_is_unbiased(generator):
    estimate, truth = weighted_mean_of_mined_pixels(1.0, generator)
    torch.testing.assert_close(estimate, truth, rtol=0.02, atol=0)


@pytest.mark.parametrize(("alpha", "least"), [(0.0, 1.4), (0.6, 1.1)])
def test_less_correction_is_biased_towards_hard_pixels(generator, alpha, least):
    estimate, truth = weighted_mean_of_mined_pixels(alpha, generator)
    assert estimate > least * truth


@pytest.mark.parametrize(
    ("alpha", "warmup", "steps"),
    [
        (0.6, 1000, {0: 0.0, 1: 0.001, 300: 0.3, 599: 0.599, 600: 0.6, 601: 0.6, 10**6: 0.6}),
        (0.8, 1000, {799: 0.799, 800: 0.8, 1000: 0.8}),
        (0.6, 0, {0: 0.6, 1: 0.6}),
        (0.0, 1000, {0: 0.0, 5000: 0.0}),
    ],
)
def test_alpha_rises_by_one_over_its_warmup_until_it_is_reached(alpha, warmup, steps):
    config = Importance(alpha=alpha, alpha_warmup_steps=warmup)
    assert {step: config.alpha_at(step) for step in steps} == pytest.approx(steps)


def test_the_error_is_the_mean_absolute_difference_over_rgb():
    error = colour_error(torch.tensor([[0.1, 0.5, 0.9]]), torch.tensor([[0.4, 0.5, 0.3]]))
    torch.testing.assert_close(error, torch.tensor([0.3]))


def test_the_error_has_no_gradient():
    colours = torch.ones(2, 3, requires_grad=True)
    assert not colour_error(colours, torch.zeros(2, 3)).requires_grad
    assert not colour_error(torch.zeros(2, 3), colours).requires_grad


@pytest.mark.parametrize("weight", [0.01, 1.0, 300.0])
def test_equal_weights_are_worth_the_whole_batch(weight):
    torch.testing.assert_close(effective_sample_size(torch.full((64,), weight)), torch.tensor(1.0))


def test_one_dominating_weight_is_worth_one_ray():
    weights = torch.full((64,), 1e-6).index_fill(0, torch.tensor([7]), 1.0)
    torch.testing.assert_close(effective_sample_size(weights), torch.tensor(1 / 64), rtol=1e-3, atol=0)


def test_half_of_the_rays_at_weight_zero_is_worth_the_other_half():
    torch.testing.assert_close(effective_sample_size(torch.arange(64) % 2 * 3.0), torch.tensor(0.5))


def test_moments_are_those_of_the_chosen_values(generator):
    values = torch.rand(20, generator=generator)
    values[3] = math.nan
    mean, std = moments(values, torch.arange(20) > 3)
    torch.testing.assert_close(mean, values[4:].mean())
    torch.testing.assert_close(std, values[4:].std())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 1.1),
        ("alpha", -0.1),
        ("alpha", math.nan),
        ("alpha_warmup_steps", -1),
        ("min_error", 0.0),
        ("min_error", -1.0),
        ("min_error", math.nan),
        ("max_weight_stds", -1.0),
        ("max_weight_stds", math.nan),
    ],
)
def test_an_impossible_setting_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=rf"\b{name} is {value}; expected"):
        Importance(**{name: value})
