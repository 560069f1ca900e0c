"""What one batch of rays reports back. It travels with the batch: miner -> loss -> miner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.importance import Importance, colour_error


@dataclass(frozen=True)
class Places:
    """Where the rays of a batch were drawn: first the strategy's rays, in its order, then the uniform ones."""

    image: Int[Tensor, " rays"]
    """Index in the data set."""
    yx: Float[Tensor, "rays 2"]
    """Where each was drawn, pixels: anywhere in its pixel."""
    size: Int[Tensor, "rays 2"]
    """Height and width of each ray's image, pixels."""


@dataclass(frozen=True)
class Seen(Places):
    """What the rays of a batch saw."""

    error: Float[Tensor, " rays"]
    """Mean over RGB of |f - f_gt|; NaN where it was not finite."""
    loss: Float[Tensor, " rays"]
    """Each ray's loss: corrected, if the strategy's loss is; NaN where the error is."""
    score: Float[Tensor, "rays 2"] | None
    """Gradient of the log loss, 1 / pixel; None where the strategy needs none, or the model lets none through."""

    def first(self, n: int) -> Seen:
        """What the first n rays saw."""
        score = None if self.score is None else self.score[:n]
        return Seen(self.image[:n], self.yx[:n], self.size[:n], self.error[:n], self.loss[:n], score)


@dataclass
class Feedback:
    """The loss fills it in during the forward pass, autograd during the backward pass.

    Args:
        wanted: whether anybody asks for it. Otherwise the loss stays plain, and nothing is filled in.
    """

    importance: Importance
    alpha: float
    """This step's alpha."""
    places: Places
    centres: Float[Tensor, "rays 2"]
    """Centres of the rays' pixels, in pixels; a leaf that requires grad where the strategy wants a score."""
    wanted: bool = True
    of_strategy: dict[str, float] = field(default_factory=dict)
    """The strategy's statistics when it drew the batch."""
    error: Float[Tensor, " rays"] | None = None
    weights: Float[Tensor, " rays"] | None = None
    loss: Float[Tensor, " rays"] | None = None
    """The corrected loss of each ray, weight * l; NaN where its colour was not finite."""
    backpropagated: Float[Tensor, " rays"] | None = None
    """Sum over the loss terms of each ray's loss times the factor with which autograd reached it."""
    _when_complete: Callable[[], None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether the loss has still to fill it in."""
        return self.wanted and self.error is None

    def when_complete(self, call: Callable[[], None]) -> None:
        """Have `call` called in the backward pass as soon as nothing more is filled in; with a score, at its end."""
        if not self.centres.requires_grad:
            self._when_complete = call
            return

        def complete(_: Tensor) -> None:
            hook.remove()  # or it would keep alive whatever the call holds, as the centres are a leaf
            call()

        hook = self.centres.register_post_accumulate_grad_hook(complete)

    def correct(
        self,
        per_ray_loss: Callable[[Tensor, Tensor], Float[Tensor, " rays"]],
        target: Float[Tensor, "rays 3"],
        predicted: Float[Tensor, "rays 3"],
    ) -> Float[Tensor, ""]:
        """The corrected loss: the mean of Q^-alpha * l over the rays. Keeps what it was made of.

        A ray whose colour is not finite gets no error and no loss (NaN), weight 0 and gradient 0. If a step calls this
        twice (coarse, then fine), the last call's error counts.

        Args:
            per_ray_loss: l(target, predicted), the model's own loss of each ray.
        """
        if not self.wanted:
            return per_ray_loss(target, predicted).mean()
        finite = predicted.isfinite() & target.isfinite()
        # substituted before the loss: a zero weight after it would still leave 0 * NaN in the gradient
        losses = per_ray_loss(torch.where(finite, target, 0), torch.where(finite, predicted, 0))
        self.error = torch.where(finite.all(-1), colour_error(predicted, target), torch.nan)
        self.weights = self.importance.weights(self.error, self.alpha)
        per_ray = losses.detach()
        self.loss = torch.where(finite.all(-1), self.weights * per_ray, torch.nan)
        if self.centres.requires_grad and losses.requires_grad:
            # a hook that holds `losses` itself would keep the whole graph of every step alive
            losses.register_hook(lambda factor: self._reached(factor, per_ray))
        corrected = (self.weights * losses).mean()
        if self._when_complete is not None and corrected.requires_grad:
            call = self._when_complete
            corrected.register_hook(lambda _: call())
        return corrected

    def _reached(self, factor: Float[Tensor, " rays"], per_ray: Float[Tensor, " rays"]) -> None:
        term = factor.detach() * per_ray
        self.backpropagated = term if self.backpropagated is None else self.backpropagated + term

    def score(self) -> Float[Tensor, "rays 2"] | None:
        """Gradient of each ray's log loss with respect to its pixel position, 1 / pixel; None if none was asked for.

        centres.grad = sum of factor * grad l, where `factor` holds the weight, the 1/n of the mean, any loss multiplier
        and the gradient scaler. Divided by the sum of factor * l, all of them cancel and grad log l is left. Another
        loss that depends on the pixel position adds to it (nerfacto's distortion loss does, a little).
        """
        grad = self.centres.grad
        if grad is None or self.backpropagated is None:
            return None
        tiny = torch.finfo(grad.dtype).tiny  # a perfect ray has 0 / 0: no direction
        return grad / (self.backpropagated[:, None].to(grad) + tiny)  # the model may be on a GPU

    def seen(self) -> Seen:
        """What the rays saw, on the CPU. Waits for a GPU."""
        assert self.error is not None
        assert self.loss is not None
        error, loss = torch.stack([self.error, self.loss]).cpu()  # waits only once
        return Seen(self.places.image, self.places.yx, self.places.size, error, loss, self.score())
