"""What every way of choosing training rays has in common: it draws pixels, and may learn from what their rays saw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.images import Images
from softmining_nerfstudio.mining.respawn import Respawn

Drawn = tuple[Int[Tensor, " n"], Float[Tensor, "n 2"]]
"""Slots of the images, and positions in them, pixels."""


@dataclass(frozen=True)
class Seen:
    """What the rays of one batch saw. First those that the strategy drew, in its order; after them the uniform ones."""

    image: Int[Tensor, " rays"]
    """Index in the data set."""
    yx: Float[Tensor, "rays 2"]
    """Where the rays were drawn, pixels."""
    size: Int[Tensor, "rays 2"]
    """Height and width of each ray's image, pixels."""
    error: Float[Tensor, " rays"]
    """Mean over RGB of |f - f_gt|; NaN where it was not finite."""
    loss: Float[Tensor, " rays"]
    """What the ray counted in the loss: corrected, if the strategy's loss is."""
    score: Float[Tensor, "rays 2"] | None
    """Gradient of the log loss, 1 / pixel; None where the strategy needs none, or the model lets none through."""


class Strategy(ABC):
    """A way of choosing training rays.

    Args:
        respawn: knows what may be drawn of each image, and where its edges are.
        generator: the source of all randomness.
    """

    corrected: ClassVar[bool] = True
    """Whether each ray's loss is weighed with Q^-alpha."""
    learns: ClassVar[bool] = True
    """Whether `learn` wants to know what the rays saw."""

    def __init__(self, respawn: Respawn, generator: torch.Generator) -> None:
        self.respawn = respawn
        self.generator = generator

    @property
    def needs_score(self) -> bool:
        """Whether `learn` wants the score, for which a graph through the cameras is built."""
        return False

    @property
    def spread(self) -> float:
        """On what fraction of the images the rays mostly go (`spread.py`); 1 where that is not known."""
        return 1.0

    @abstractmethod
    def draw(self, images: Images, count: int) -> Drawn:
        """`count` pixels of the loaded images for the next batch."""

    def learn(self, seen: Seen) -> None:  # noqa: B027 - a strategy need not learn
        """Take in what the rays of the last `draw` saw."""

    def statistics(self) -> dict[str, float]:
        """What a person wants to know of the last step."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """What is needed to go on after a checkpoint, besides the generator."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Go on from a `state` of as many images."""
