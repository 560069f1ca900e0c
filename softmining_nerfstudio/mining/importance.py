"""Importance correction: how much a ray counts in the loss, given how likely the miner was to draw it.

    Q = e = mean over RGB of |f - f_gt|,     weight = Q^-alpha                                       (paper, eq. 9)

Q is not normalised. The weights grow as rays get easier, so they also act as a learning-rate schedule. The clamps are
those of the released code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Importance:
    """The importance correction of the loss. The released code takes alpha 0.6 on object scenes, 0.8 on LLFF.

    Raises:
        ValueError: if a number is out of its range.
    """

    alpha: float = 0.6
    """Larger corrects more: 0 is hard mining (no correction), 1 is unbiased importance sampling, if rays
    follow Q."""
    alpha_warmup_steps: int = 1000
    """Larger corrects later. Alpha rises from 0 by 1 / alpha-warmup-steps each training step, up to `alpha`. 0: no
    rise."""
    min_error: float = 2.0**-10
    """Larger limits the weight of easy rays more. Smaller errors count as this one; colours are in [0, 1]."""
    max_weight_stds: float = 1.0
    """Larger lets easy rays count more. Upper bound of a weight: the batch's mean plus this many standard deviations;
    inf for none."""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; expected 0 (hard mining) to 1 (unbiased importance sampling)")
        if self.alpha_warmup_steps < 0:
            raise ValueError(f"alpha_warmup_steps is {self.alpha_warmup_steps}; expected at least 0")
        if not 0 < self.min_error < float("inf"):
            raise ValueError(f"min_error is {self.min_error}; expected a finite number above 0")
        if not self.max_weight_stds >= 0:
            raise ValueError(f"max_weight_stds is {self.max_weight_stds}; expected at least 0")

    def alpha_at(self, step: int) -> float:
        """Alpha at a training step."""
        return min(step / self.alpha_warmup_steps, self.alpha) if self.alpha_warmup_steps else self.alpha

    def weights(self, error: Float[Tensor, " rays"], alpha: float) -> Float[Tensor, " rays"]:
        """Q^-alpha of each ray, clamped; 0 for a ray whose error is not finite."""
        finite = error.isfinite()
        weights = error.clamp(min=self.min_error) ** -alpha
        mean, std = moments(weights, finite)
        if self.max_weight_stds < float("inf"):  # inf * 0 is NaN
            weights = weights.minimum(mean + self.max_weight_stds * std)
        return torch.where(finite, weights, 0)


def colour_error(predicted: Float[Tensor, "*rays 3"], target: Float[Tensor, "*rays 3"]) -> Float[Tensor, " *rays"]:
    """The error that defines the target density: mean over RGB of |f - f_gt|, without gradient."""
    return (predicted - target).detach().abs().mean(-1)


def effective_sample_size(weights: Float[Tensor, " rays"]) -> Float[Tensor, ""]:
    """Effective sample size of the weights, as a share of the batch: (sum w)^2 / (n sum w^2)."""
    return weights.sum() ** 2 / (len(weights) * (weights**2).sum())


def moments(values: Float[Tensor, " n"], where: Tensor) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean and standard deviation (with Bessel's correction) of the values chosen by a boolean `where`."""
    count = where.sum()
    mean = torch.where(where, values, 0).sum() / count
    variance = torch.where(where, (values - mean) ** 2, 0).sum() / (count - 1).clamp(min=1)
    return mean, variance.sqrt()
