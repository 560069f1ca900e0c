"""How much mining could gain on a scene at most, by the errors of a trained model on whole training images.

The gradient of a ray's squared error is proportional to its error e. Draw rays from a density q (relative to uniform)
and weight each with 1 / q: the mean gradient then has the second moment E[e^2 / q] instead of E[e^2]. One such ray is
worth as many uniform rays as

    gain = E[e^2] / E[e^2 / q],   at most E[e^2] / E[e]^2,   which q = e / E[e] reaches.

A miner does not know the error of a pixel that no ray has visited. Suppose it knows the error of squares of s x s
pixels. The best density is then a square's root mean square of e, and the gain E[e^2] / E[rms]^2: larger squares gain
less. The bound holds for importance sampling (alpha 1) with equally many rays in every image. Only training can tell
how much of it is real.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
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


def headroom(*, load_config: Path, views: int = 5) -> None:
    """Measure how many uniform rays one mined ray could be worth, by how precisely the miner knows the error.

    Args:
        load_config: config.yml of a trained NeRF, as for ns-eval. Any nerfstudio method that renders rays will do.
        views: Training images to render, evenly spaced.

    Raises:
        BenchmarkError: there is no such file, the model renders no rays, or `views` is below 1.
    """
    if views < 1:
        raise BenchmarkError(f"views is {views}; expected at least 1")
    _require_config(load_config)
    from nerfstudio.utils.eval_utils import eval_setup  # takes seconds to import

    allow_numpy_scalars()  # a stock model's checkpoint may hold them
    with lazy_lpips():  # loads stock methods offline
        _, pipeline, _, step = eval_setup(load_config, test_mode="val")
    if not hasattr(pipeline.model, "renderer_rgb"):
        raise BenchmarkError(f"{type(pipeline.model).__name__} renders no rays: there is nothing to mine")
    console, datamanager = Console(), pipeline.datamanager
    assert datamanager.train_dataset is not None
    count = len(datamanager.train_dataset)
    chosen = torch.linspace(0, count - 1, min(views, count)).round().int().tolist()
    images = [errors(pipeline, view) for view in track(chosen, "Rendering", console=console)]
    table = Table(box=SIMPLE_HEAD)
    table.add_column("error known for", justify="right")
    table.add_column("rays", justify="right")
    for side in SQUARES:
        rays = gain([squares(*image, side) for image in images])
        table.add_row("each pixel" if side == 1 else f"{side} x {side} pixels", f"{rays:.2f}")
    where = f"step {step + 1}, {len(images)} training images"
    console.print(f"Uniform rays that one mined ray is worth at most ({where}):", table, highlight=False)


def _require_config(path: Path) -> None:
    """Check that `eval_setup` can read the file.

    Raises:
        BenchmarkError: it is missing, or holds something else.
    """
    from nerfstudio.engine.trainer import TrainerConfig

    expected = "expected the config.yml of a trained model"
    if not path.exists():
        raise BenchmarkError(f"there is no {path}; {expected}")
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.Loader)  # as eval_setup does
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise BenchmarkError(f"cannot read {path} ({reason}); {expected}") from error
    if not isinstance(found, TrainerConfig):
        raise BenchmarkError(f"{path} holds no configuration of a training; {expected}")


def errors(pipeline: Any, view: int) -> tuple[Float[Tensor, "height width"], Bool[Tensor, "height width"]]:
    """e of every pixel of a training image, and which pixels count: a mask allows them, and e is finite."""
    data = pipeline.datamanager.train_dataset[view]
    error = current_error(pipeline, view, *map(torch.arange, data["image"].shape[:2]))
    allowed = error.isfinite()
    return error, allowed & data["mask"][..., 0].bool().cpu() if "mask" in data else allowed


def squares(
    error: Float[Tensor, "height width"], allowed: Bool[Tensor, "height width"], side: int
) -> tuple[Float[Tensor, "down across"], Float[Tensor, "down across"]]:
    """The mean of e^2 over the allowed pixels of each square (cut off at the border), and their number."""
    padding = [(-length) % side for length in error.shape]
    both = torch.stack([torch.where(allowed, error, 0).double() ** 2, allowed.double()])
    both = torch.nn.functional.pad(both, (0, padding[1], 0, padding[0]))
    total, count = torch.nn.functional.avg_pool2d(both, side) * side**2
    return total / count.clamp(min=1), count


def gain(images: list[tuple[Float[Tensor, "down across"], Float[Tensor, "down across"]]]) -> float:
    """How many uniform rays one ray is worth whose density follows the squares' rms error; 1 without errors.

    Args:
        images: The `squares` of each image.
    """
    uniform = mined = 0.0
    for mean_square, count in images:
        share = count / count.sum().clamp(min=1)
        uniform += float((share * mean_square).sum())
        mined += float((share * mean_square.sqrt()).sum()) ** 2
    return uniform / mined if mined else 1.0
