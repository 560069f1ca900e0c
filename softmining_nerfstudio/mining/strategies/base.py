"""What every way of choosing training rays does: it draws pixels, and may learn from what their rays saw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.feedback import Seen
from softmining_nerfstudio.mining.pixels.densities import Densities
from softmining_nerfstudio.mining.pixels.images import Images

Positions = tuple[Int[Tensor, " n"], Float[Tensor, "n 2"]]
"""Slots of the images, and positions in them, pixels."""


class Strategy(ABC):
    """A way of choosing training rays.

    Contract: `draw` replaces the strategy's tensors and never changes one in place (what `densities` works out once and
    for all does not count). So a shallow copy from before `draw` is the strategy as it was, and whoever draws ahead of
    need can undo it.

    Args:
        densities: what may be drawn of each image, and where its edges are.
        generator: the source of all randomness.
    """

    corrected: ClassVar[bool] = True
    """Whether Q^-alpha weighs each ray's loss."""
    learns: ClassVar[bool] = True
    """Whether `learn` wants to know what the rays saw."""

    def __init__(self, densities: Densities, generator: torch.Generator) -> None:
        self.densities = densities
        self.generator = generator

    @property
    def needs_score(self) -> bool:
        """Whether `learn` wants the score, for which autograd goes back through the cameras."""
        return False

    @property
    def spread(self) -> float:
        """Fraction of the images that carries the error (`spread.py`); 1 where nobody measures it."""
        return 1.0

    @abstractmethod
    def draw(self, images: Images, count: int) -> Positions:
        """`count` pixels of the loaded images for the next batch."""

    def learn(self, seen: Seen) -> None:  # noqa: B027 - a strategy need not learn
        """Take in what the rays of the batch saw: first those of the last `draw`, then the uniform ones."""

    def statistics(self) -> dict[str, float]:
        """Numbers of the last step for a person."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs besides the generator."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Go on from a `state` of as many images."""
