"""How good a model is: its error on held-out pixels, and its metrics on whole held-out views.

Every run has the same pixels and views, rendered as nerfstudio's `ns-eval` renders them. An evaluation leaves training
undisturbed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.models.base_model import Model
from PIL import Image
from torch import Tensor

from softmining_nerfstudio.training import random_state
from softmining_nerfstudio.training.rendering import blended, rgb_of

SEED = 0
"""Seed of the held-out pixels, the same for every run."""
METRICS = ("psnr", "ssim", "lpips")


@contextmanager
def undisturbed(pipeline: Any) -> Iterator[None]:
    """Put a pipeline into eval mode, and restore its training afterwards, random numbers included."""
    state = random_state.capture()
    sampler = getattr(pipeline.model, "proposal_sampler", None)  # it counts renders as steps of its update schedule
    since_update = getattr(sampler, "_steps_since_update", None)
    pipeline.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        pipeline.train()
        if since_update is not None:
            setattr(sampler, "_steps_since_update", since_update)  # noqa: B010
        random_state.restore(state)


@dataclass(frozen=True)
class HeldOutPixels:
    """Rays of held-out views and their true colours."""

    rays: RayBundle
    colours: Float[Tensor, "pixels 3"]

    @classmethod
    def draw(cls, dataset: InputDataset, count: int, blend: Callable[[Tensor], Tensor]) -> HeldOutPixels:
        """About `count` different pixels of all views, without those that a mask hides.

        Args:
            blend: Blends RGBA colours with the background.
        """
        view, row, column = _drawn(dataset.cameras.height[:, 0], dataset.cameras.width[:, 0], count)
        keep, colours = torch.ones_like(view, dtype=torch.bool), torch.zeros(len(view), 3)
        for i in view.unique().tolist():
            of_view = view == i
            data = dataset[i]
            colours[of_view] = blend(data["image"][row[of_view], column[of_view]])
            if "mask" in data:
                keep[of_view] = data["mask"][row[of_view], column[of_view]].bool().flatten()
        view, coords = view[keep], torch.stack([row, column], -1)[keep] + 0.5
        device = dataset.cameras.device
        rays = dataset.cameras.generate_rays(camera_indices=view[:, None].to(device), coords=coords.to(device))
        return cls(rays.reshape((len(view), 1)), colours[keep])

    def psnr(self, model: Model) -> float:
        """PSNR of the model's colours, dB; NaN if they are not finite."""
        rendered = rgb_of(model.get_outputs_for_camera_ray_bundle(self.rays))[:, 0].cpu()
        error = (rendered - self.colours).square().mean().item()
        return -10 * math.log10(max(1e-10, error)) if math.isfinite(error) else math.nan


def _drawn(
    heights: Int[Tensor, " views"], widths: Int[Tensor, " views"], count: int
) -> tuple[Int[Tensor, " pixels"], Int[Tensor, " pixels"], Int[Tensor, " pixels"]]:
    """View, row and column of random pixels. They depend only on the sizes of the views."""
    heights, widths = heights.cpu(), widths.cpu()
    ends = (heights * widths).cumsum(0)
    generator = torch.Generator().manual_seed(SEED)
    pixel = torch.randint(int(ends[-1]), (count,), generator=generator).unique()
    view = torch.searchsorted(ends, pixel, right=True)
    offset = pixel - (ends - heights * widths)[view]
    return view, offset // widths[view], offset % widths[view]


def whole_views(model: Model, dataset: InputDataset, count: int) -> dict[str, float]:
    """The mean metrics of `count` evenly spaced views (0: of all). LPIPS is absent where its network is.

    NaN where the model's colours are no numbers.
    """
    views = torch.linspace(0, len(dataset) - 1, min(count or len(dataset), len(dataset))).round().int().tolist()
    found: dict[str, list[float]] = {}
    for view in views:
        outputs = model.get_outputs_for_camera(dataset.cameras[view : view + 1].to(model.device))
        metrics, _ = model.get_image_metrics_and_images(outputs, dataset[view])
        for name in METRICS:
            value = metrics.get(name, metrics.get(f"fine_{name}"))  # fine_: methods with a coarse and a fine field
            if value is not None:
                found.setdefault(name, []).append(float(value))
    means = {name: sum(values) / len(values) for name, values in found.items()}
    if math.isnan(means.get("lpips", 0.0)):  # its network's weights are missing
        del means["lpips"]
    return means


def render(model: Model, dataset: InputDataset, view: int, path: Path) -> None:
    """Write a view to a PNG file, and the true one beside it as `truth.png`."""
    write_image(whole_view(model, dataset, view), path)
    write_image(blended(model, dataset[view]["image"]), path.parent / "truth.png")


def whole_view(model: Model, dataset: InputDataset, view: int) -> Float[Tensor, "height width 3"]:
    """The colours of a view."""
    return rgb_of(model.get_outputs_for_camera(dataset.cameras[view : view + 1].to(model.device))).cpu()


def write_image(rgb: Float[Tensor, "height width 3"], path: Path) -> None:
    """Write colours in [0, 1] to a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((rgb.nan_to_num().clamp(0, 1) * 255).round().byte().cpu().numpy()).save(path)
