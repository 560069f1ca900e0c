"""How many of the mined rays are no walkers but are drawn on edges: the more, the less following the error pays

    edge share = (mean error of uniform rays / mean error of walkers)^2.

Before an empty background, which is soon learnt, walkers find three to four times the error of uniform rays, and nearly
all rays are walkers. In a capture that is wrong all over they find hardly more; what tells where its surfaces are, are
its edges, which need not be followed as they do not move. Both means are measured in training, on the rays of the last
batches; nothing is rendered for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

FADING = 0.95
"""What the batches before count, relative to this one: about twenty tell."""
MOST = 0.9
"""The largest share; the walkers that are left go on telling whether following the error would pay."""
START = (5.0, 20.0)
"""As if walkers had found four times the error of uniform rays: before anything has been learnt, all is wrong alike."""


@dataclass
class EdgeShare:
    """The share, and what it is worked out from."""

    errors: Float[Tensor, " 2"] = field(default_factory=lambda: torch.tensor(START))
    """Mean errors of the uniform rays and of the walkers, summed over the batches so far, of which the older fade."""

    def update(self, uniform: Float[Tensor, " m"], walkers: Float[Tensor, " n"]) -> None:
        """Take in the errors of a batch, NaN where they were not finite; without one of either, it tells nothing."""
        means = torch.stack([uniform.nanmean(), walkers.nanmean()])
        if means.isfinite().all():
            self.errors = FADING * self.errors + means

    @property
    def value(self) -> float:
        """The equation above, at most MOST."""
        uniform, walkers = self.errors.tolist()
        return min((uniform / walkers) ** 2, MOST) if walkers else MOST
