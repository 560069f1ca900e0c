"""The importance correction, installed as the `rgb_loss` of any nerfstudio model. The model's code stays untouched."""

from __future__ import annotations

import copy
import copyreg
import math
from abc import ABCMeta
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import yaml
from nerfstudio.models.base_model import Model, ModelConfig
from nerfstudio.models.nerfacto import NerfactoModel
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor, nn

from softmining_nerfstudio.mining.feedback import Feedback
from softmining_nerfstudio.training.compiled import compile_encodings
from softmining_nerfstudio.training.errors import UserError
from softmining_nerfstudio.training.perceptual import lazy_lpips


class SoftMiningLoss(nn.Module):
    """A model's own loss, corrected for mined rays and plain for all others.

    Args:
        loss: an elementwise loss with torch's `reduction`, such as MSELoss.

    Raises:
        TypeError: if it cannot give the loss of each ray.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        if getattr(loss, "reduction", None) != "mean":
            raise TypeError(f"rgb_loss is {loss}; expected a loss of torch's whose reduction is 'mean'")
        self.loss = loss
        self.elementwise = copy.copy(loss)
        self.elementwise.reduction = "none"  # type: ignore[assignment]
        self._feedback: Feedback | None = None

    @contextmanager
    def reporting_to(self, feedback: Feedback | None) -> Iterator[None]:
        """Within this context, correct the loss and report what it saw; None leaves it plain."""
        self._feedback = feedback
        try:
            yield
        finally:
            self._feedback = None

    def forward(self, target: Tensor, predicted: Tensor) -> Tensor:
        """The loss of colours [rays, 3]."""
        if self._feedback is None:
            return self.loss(target, predicted)
        return self._feedback.correct(lambda t, p: self.elementwise(t, p).mean(-1), target, predicted)


class SoftMiningMixin:
    """Put before a nerfstudio Model that computes its colour loss with `self.rgb_loss(target, predicted)`.

    Raises:
        TypeError: if the model has no such loss.
        UserError: if it needs a GPU and there is none.
    """

    training: bool
    config: ModelConfig
    kwargs: dict[str, Any]

    def populate_modules(self) -> None:
        device = torch.device(self.kwargs.get("device", "cpu"))
        with lazy_lpips():
            super().populate_modules()  # type: ignore[misc]
        CONSOLE.print(f"Model on {device}, {_implementation(self)} implementation")  # type: ignore[arg-type]
        if hasattr(self, "occupancy_grid") and device.type != "cuda":
            raise UserError(
                f"{type(self).__name__} needs a CUDA GPU: nerfacc marches its occupancy grid there only, and this is "
                f"{device}. Use softmining or, for an object on a plain background, softmining-lite."
            )
        if not isinstance(getattr(self, "rgb_loss", None), nn.Module):
            raise TypeError(
                f"{type(self).__name__} has no rgb_loss module: its rays cannot be mined. Expected a model that "
                "computes its colour loss with self.rgb_loss(target, predicted), as nerfacto does."
            )
        self.rgb_loss = SoftMiningLoss(self.rgb_loss)
        compile_encodings(self, device)  # type: ignore[arg-type]

    def get_loss_dict(self, outputs: dict, batch: dict, metrics_dict: dict | None = None) -> dict:
        """The model's losses; the colour loss is corrected where the batch was mined.

        Raises:
            TypeError: in training, if the batch comes from a data manager that does not mine.
        """
        if self.training and "feedback" not in batch:
            raise TypeError(
                "a soft-mining model got a training batch without feedback: use "
                "SoftMiningDataManagerConfig as its data manager (ParallelDataManager samples in other processes)"
            )
        with self.rgb_loss.reporting_to(batch.get("feedback")):
            return super().get_loss_dict(outputs, batch, metrics_dict)  # type: ignore[misc]

    def get_image_metrics_and_images(self, outputs: dict, batch: dict) -> tuple[dict, dict]:
        """The model's metrics of one image, without an LPIPS that could not be computed."""
        metrics, images = super().get_image_metrics_and_images(outputs, batch)  # type: ignore[misc]
        return {n: value for n, value in metrics.items() if not (n.endswith("lpips") and math.isnan(value))}, images


class SoftMiningNerfactoMixin(SoftMiningMixin):
    """Put before nerfacto and its subclasses. The proposal networks see detached positions, as in the paper's code.
    Their loss says nothing of the error at a pixel, and would reach the pixel's score through the positions."""

    def populate_modules(self) -> None:
        super().populate_modules()
        self.density_fns = [_at_detached_positions(density_fn) for density_fn in self.density_fns]

    def get_extra_state(self) -> dict[str, Any]:
        """The proposal networks' position in their update schedule; nerfstudio's checkpoints leave it out."""
        sampler = self.proposal_sampler  # type: ignore[attr-defined]
        return {"proposal_step": sampler._step, "proposal_steps_since_update": sampler._steps_since_update}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Resume the schedule of the proposal networks."""
        sampler = self.proposal_sampler  # type: ignore[attr-defined]
        sampler._step = state["proposal_step"]
        sampler._steps_since_update = state["proposal_steps_since_update"]


def _implementation(model: nn.Module) -> str:
    """What its layers are made of. nerfstudio takes torch where it cannot load tiny-cuda-nn, whatever was asked for;
    some models have no option for it."""
    return "tcnn" if any(type(part).__module__.startswith("tinycudann") for part in model.modules()) else "torch"


def _at_detached_positions(density_fn: Callable) -> Callable:
    return lambda positions, *args, **kwargs: density_fn(positions.detach(), *args, **kwargs)


class Mined(ABCMeta):
    """The metaclass of `mined` classes. config.yml records a model's class; it records these as the call that makes
    them."""

    mined_from: type[Model]


@cache
def mined(model: type[Model]) -> Mined:
    """The class with the corrected loss, derived from a model's class."""
    mixin = SoftMiningNerfactoMixin if issubclass(model, NerfactoModel) else SoftMiningMixin
    return Mined(f"SoftMining{model.__name__}", (mixin, model), {"mined_from": model, "__module__": __name__})


copyreg.pickle(Mined, lambda made: (mined, (made.mined_from,)))
yaml.add_representer(Mined, yaml.Dumper.represent_object)  # YAML would look for them by module and name
