"""How many rays a batch has: half of them at first, and all of them after some training steps

    rays = ceil(all of them * min(1, (1 + step / steps) / 2)).

At first the rays of a batch say much the same: what is coarse is wrong everywhere, and their colours are means over
wide footprints (`footprint.py`). A step on half of them teaches more than half as much and, on a CPU, takes little more
than half the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class BatchGrowth:
    """The number of rays, over training.

    Raises:
        ValueError: if there are fewer than 0 steps.
    """

    steps: int
    """Training steps until a batch has all of its rays; 0: from the start."""

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"growth_steps is {self.steps}; expected at least 0")

    def at(self, step: int, rays: int) -> int:
        """The equation above."""
        return math.ceil(rays * min(1.0, (1 + step / self.steps) / 2)) if self.steps else rays
