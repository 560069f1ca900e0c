"""How much mining could gain on a scene at most, by the errors of a trained model on whole training images.

The gradient of a ray's squared error is in proportion to its error e. Estimated from rays that are drawn from a density
q (relative to uniform) and weighed with 1 / q, the mean gradient has the second moment E[e^2 / q] in place of E[e^2].
So one such ray is worth as many uniform ones as

    gain = E[e^2] / E[e^2 / q],   at most E[e^2] / E[e]^2,   which is that of q = e / E[e].

A miner cannot know the error of a pixel that no ray has gone through. Of one that knows it for squares of s x s pixels,
the best density is a square's root mean square of e; its gain is E[e^2] / E[rms]^2, the less, the larger the squares.
This bounds importance sampling (alpha 1) with as many rays in every image; how far it carries, training must tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from softmining_nerfstudio.benchmark.errors import BenchmarkError
from softmining_nerfstudio.training.checkpoints import allow_numpy_scalars
from softmining_nerfstudio.training.perceptual import lazy_lpips
from softmining_nerfstudio.training.rendering import current_error

SQUARES = (1, 2, 4, 8, 16, 32, 64)
"""Sides of the squares, pixels."""


@dataclass(frozen=True)
class Headroom:
    """How many uniformly drawn rays one mined ray could be worth, by how well the miner knows the error."""

    load_config: Path
    """config.yml of a trained NeRF, as for ns-eval; any of nerfstudio's methods that render rays."""
    views: int = 5
    """Training images to render, evenly spaced."""

    def __post_init__(self) -> None:
        if not self.load_config.is_file():
            raise BenchmarkError(f"there is no {self.load_config}; expected the config.yml of a trained model")
        if self.views < 1:
            raise BenchmarkError(f"views is {self.views}; expected at least 1")

    def main(self) -> dict[int, float]:
        """Render, and show the gain for each side of the squares."""
        from nerfstudio.utils.eval_utils import eval_setup  # takes seconds to import

        allow_numpy_scalars()  # also where the model is a stock one
        with lazy_lpips():  # so that stock methods can be loaded offline, too
            _, pipeline, _, step = eval_setup(self.load_config, test_mode="val")
        if not hasattr(pipeline.model, "renderer_rgb"):
            raise BenchmarkError(f"{type(pipeline.model).__name__} renders no rays: there is nothing to mine")
        console = Console()
        images = [errors(pipeline, view) for view in track(self._chosen(pipeline), "Rendering", console=console)]
        gains = {side: gain([squares(*image, side) for image in images]) for side in SQUARES}
        table = Table(box=SIMPLE_HEAD)
        table.add_column("error known for", justify="right")
        table.add_column("rays", justify="right")
        for side, rays in gains.items():
            table.add_row("each pixel" if side == 1 else f"{side} x {side} pixels", f"{rays:.2f}")
        where = f"step {step + 1}, {len(images)} training images"
        console.print(f"Uniform rays a mined one is worth at most ({where}):", table, highlight=False)
        return gains

    def _chosen(self, pipeline: Any) -> list[int]:
        count = len(pipeline.datamanager.train_dataset)
        return torch.linspace(0, count - 1, min(self.views, count)).round().int().tolist()


def errors(pipeline: Any, view: int) -> tuple[Float[Tensor, "height width"], Bool[Tensor, "height width"]]:
    """e of every pixel of a training image, and which of them count: a mask allows them, and they are finite."""
    data = pipeline.datamanager.train_dataset[view]
    error = current_error(pipeline, view, *map(torch.arange, data["image"].shape[:2]))
    allowed = error.isfinite()
    return error, allowed & data["mask"][..., 0].bool().cpu() if "mask" in data else allowed


def squares(
    error: Float[Tensor, "height width"], allowed: Bool[Tensor, "height width"], side: int
) -> tuple[Float[Tensor, "down across"], Float[Tensor, "down across"]]:
    """The mean of e^2 over the allowed pixels of each square (cut off at the border), and how many these are."""
    padding = [(-length) % side for length in error.shape]
    both = torch.stack([torch.where(allowed, error, 0).double() ** 2, allowed.double()])
    both = torch.nn.functional.pad(both, (0, padding[1], 0, padding[0]))
    total, count = torch.nn.functional.avg_pool2d(both, side) * side**2
    return total / count.clamp(min=1), count


def gain(images: list[tuple[Float[Tensor, "down across"], Float[Tensor, "down across"]]]) -> float:
    """How many uniform rays one is worth that is drawn within its image by the squares' rms error; 1 without errors.

    Args:
        images: the `squares` of each.
    """
    uniform = mined = 0.0
    for mean_square, count in images:
        share = count / count.sum().clamp(min=1)
        uniform += float((share * mean_square).sum())
        mined += float((share * mean_square.sqrt()).sum()) ** 2
    return uniform / mined if mined else 1.0
