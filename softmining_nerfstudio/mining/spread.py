"""The spread of the error: on what fraction of the images it would be, were it the same there and 0 elsewhere

    spread = E[e]^2 / E[e^2] = mean error of uniform rays / mean error of walkers,

the participation ratio, as walkers draw from Q ∝ e, whose mean error is E[e^2] / E[e]. Before an empty background,
which is soon learnt, walkers find three to four times the error of uniform rays: it is on a quarter of the images. In a
capture that is wrong all over they find hardly more. Both means are measured in training, on the rays of the last
batches; nothing is rendered.

Two things go by it. Walkers know where errors are now, but only as coarsely as their steps are wide; edges tell finely
where they may be. So that fraction of the mined rays is drawn anew on edges instead: the less, the more following the
error pays. And rays that go to a fraction of the images cover it as much sooner, so that their footprints
(`footprint.py`) narrow with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

FADING = 0.95
"""What the batches before count, relative to this one: about twenty tell."""
START = (5.0, 20.0)
"""As if walkers had found four times the error of uniform rays, until enough is known: at first all is wrong alike."""


@dataclass
class SpreadEstimate:
    """The spread, by the last batches."""

    errors: Float[Tensor, " 2"] = field(default_factory=lambda: torch.tensor(START))
    """Mean errors of the uniform rays and of the walkers, summed over the batches so far, of which the older fade."""

    def update(self, uniform: Float[Tensor, " m"], walkers: Float[Tensor, " n"]) -> None:
        """Take in the errors of a batch, NaN where they were not finite; without one of either, it tells nothing."""
        means = torch.stack([uniform.nanmean(), walkers.nanmean()])
        if means.isfinite().all():
            self.errors = FADING * self.errors + means

    @property
    def value(self) -> float:
        """The equation above, at most 1."""
        uniform, walkers = self.errors.tolist()
        return min(uniform / walkers, 1.0) if walkers else 1.0
