"""What one batch of mined rays reports back to the sampler. It travels inside the batch: sampler -> loss -> sampler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from softmining_nerfstudio.mining.importance import ImportanceConfig, colour_error


@dataclass
class Feedback:
    """Filled in by the loss in the forward pass and by autograd in the backward pass."""

    importance: ImportanceConfig
    alpha: float
    """This step's alpha."""
    yx: Float[Tensor, "rays 2"]
    """Centres of the rays' pixels, in pixels; a leaf that requires grad where the sampler wants a score."""
    error: Float[Tensor, " rays"] | None = None
    weights: Float[Tensor, " rays"] | None = None
    loss: Float[Tensor, " rays"] | None = None
    """The corrected loss of each ray, weight * l."""
    backpropagated: Float[Tensor, " rays"] | None = None
    """Sum over the loss terms of each ray's loss times the factor with which autograd reached it."""
    when_complete: Callable[[], None] | None = None
    """Called in the backward pass as soon as nothing more is filled in, with the score only at its end."""

    def __post_init__(self) -> None:
        if self.when_complete is None or not self.yx.requires_grad:
            return
        call = self.when_complete

        def complete(_: Tensor) -> None:
            hook.remove()  # or it would keep alive whatever the call holds, as yx is a leaf
            call()

        hook = self.yx.register_post_accumulate_grad_hook(complete)

    def correct(
        self,
        per_ray_loss: Callable[[Tensor, Tensor], Float[Tensor, " rays"]],
        target: Float[Tensor, "rays 3"],
        predicted: Float[Tensor, "rays 3"],
    ) -> Float[Tensor, ""]:
        """The corrected loss, mean of Q^-alpha * l over the rays, and a note of what it was made of.

        A ray whose colour is not finite has no error (NaN), weight 0 and gradient 0; the sampler sees it and says so.
        Called again in the same step (coarse, then fine), the last call's error is the one that counts.

        Args:
            per_ray_loss: l(target, predicted), the model's own loss of each ray.
        """
        finite = predicted.isfinite() & target.isfinite()
        # substituted before the loss: a zero weight after it would still leave 0 * NaN in the gradient
        losses = per_ray_loss(torch.where(finite, target, 0), torch.where(finite, predicted, 0))
        self.error = torch.where(finite.all(-1), colour_error(predicted, target), torch.nan)
        self.weights = self.importance.weights(self.error, self.alpha)
        per_ray = losses.detach()
        self.loss = self.weights * per_ray
        if self.yx.requires_grad and losses.requires_grad:
            # a hook that holds `losses` itself would keep the whole graph of every step alive
            losses.register_hook(lambda factor: self._reached(factor, per_ray))
        corrected = (self.weights * losses).mean()
        if self.when_complete is not None and corrected.requires_grad and not self.yx.requires_grad:
            call = self.when_complete
            corrected.register_hook(lambda _: call())
        return corrected

    def _reached(self, factor: Float[Tensor, " rays"], per_ray: Float[Tensor, " rays"]) -> None:
        term = factor.detach() * per_ray
        self.backpropagated = term if self.backpropagated is None else self.backpropagated + term

    def score(self) -> Float[Tensor, "rays 2"] | None:
        """Gradient of each ray's log loss with respect to its pixel position, 1 / pixel; None if none was asked for.

        yx.grad = sum of factor * grad l, where `factor` holds the weight, the 1/n of the mean, any loss multiplier
        and the gradient scaler. Divided by the sum of factor * l all of them cancel, and grad log l is left. A
        further loss that depends on the pixel position adds to it (nerfacto's distortion loss does, a little).
        """
        if self.yx.grad is None or self.backpropagated is None:
            return None
        tiny = torch.finfo(self.yx.grad.dtype).tiny  # a perfect ray has 0 / 0: no direction
        return self.yx.grad / (self.backpropagated[:, None].to(self.yx.grad) + tiny)  # the model may be on a GPU
