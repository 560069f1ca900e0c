"""A batch that has been drawn for a training step: what it hands out, and what comes back of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from softmining_nerfstudio.mining.feedback import Feedback
from softmining_nerfstudio.mining.importance import effective_sample_size
from softmining_nerfstudio.mining.strategy import Seen


@dataclass(frozen=True)
class Drawn:
    """A batch, and what the feedback on it is for."""

    batch: dict
    yx: Float[Tensor, "rays 2"]
    """Where the rays were drawn, pixels."""
    size: Int[Tensor, "rays 2"]
    """Of their images."""
    centres: Float[Tensor, "rays 2"]
    """Of their pixels."""
    of_strategy: dict[str, float]
    """Its statistics, as the batch was drawn."""

    @property
    def feedback(self) -> Feedback | None:
        """None where the loss is plain and nothing is learnt."""
        return self.batch["feedback"]

    @property
    def awaits_loss(self) -> bool:
        """Whether there is feedback to come."""
        return self.feedback is not None and self.feedback.error is None

    def seen(self) -> Seen | None:
        """What its rays saw, on the processor; None where nothing is learnt. Waits for a GPU.

        Raises:
            FloatingPointError: if not one colour was finite.
        """
        feedback = self.feedback
        if feedback is None:
            return None
        assert feedback.error is not None
        assert feedback.loss is not None
        error, loss = torch.stack([feedback.error, feedback.loss]).cpu()  # which waits only once
        broken = int((~error.isfinite()).sum())
        if broken == len(error):
            raise FloatingPointError(
                "training has diverged: no ray of the last batch has a finite colour. Resume from the last checkpoint "
                "(--load-dir) with a lower learning rate."
            )
        if broken:
            CONSOLE.print(f"[yellow]{broken} of {len(error)} rays had no finite colour and were left out of the loss")
        return Seen(self.batch["indices"][:, 0], self.yx, self.size, error, loss, feedback.score())

    def statistics(self) -> dict[str, float | Float[Tensor, ""]]:
        """What a person wants to know of it; empty where nothing was mined, or the loss is not known yet."""
        feedback = self.feedback
        if feedback is None or feedback.error is None or feedback.weights is None:
            return {}
        return {
            "Mean Error": feedback.error.nanmean(),
            "Effective Samples": effective_sample_size(feedback.weights),
            **self.of_strategy,
            "Alpha": feedback.alpha,
        }
