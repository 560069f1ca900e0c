"""The spread of the error: the fraction of the image area that carries it, as far as walkers can tell,

    spread = mean error of uniform rays / mean error of walkers.

If walkers drew from Q ∝ e exactly, their mean error would be E[e^2] / E[e], and the spread the participation ratio
E[e]^2 / E[e^2]. They find errors only as finely as their steps are wide: errors of small places or single pixels look
more spread than they are. Both means come from the rays of the last batches; nothing is rendered. A model soon learns
an empty background: walkers then find three to four times the error of uniform rays, so the spread is about a quarter.
In a capture that is wrong all over, walkers find hardly more than uniform rays, and the spread is near 1.

The spread sets the share of rays on edges (`walking.py`): following the error pays where it is small. It also sets the
size of footprints (`footprint.py`): rays that go to a fraction of the images cover it sooner.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

FADING = 0.95
"""Weight of the batches before, relative to this one: about twenty batches tell."""
START = (5.0, 20.0)
"""Assume at first that walkers find four times the error of uniform rays. The first batches could not tell: everything
is wrong alike."""


@dataclass
class SpreadEstimate:
    """The spread in the last batches."""

    errors: Float[Tensor, " 2"] = field(default_factory=lambda: torch.tensor(START))
    """Mean errors of the uniform rays and of the walkers, summed over the batches so far; older batches fade."""

    def update(self, uniform: Float[Tensor, " m"], walkers: Float[Tensor, " n"]) -> None:
        """Take in the errors of a batch, NaN where they were not finite. A batch without either kind of ray is
        skipped."""
        means = torch.stack([uniform.nanmean(), walkers.nanmean()])
        if means.isfinite().all():
            self.errors = FADING * self.errors + means

    @property
    def value(self) -> float:
        """The equation above, at most 1."""
        uniform, walkers = self.errors.tolist()
        return min(uniform / walkers, 1.0) if walkers else 1.0
