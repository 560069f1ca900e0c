"""The error of a whole training image as the model is now, which the last rays have seen only in part."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from softmining_nerfstudio.mining.importance import colour_error

MOST_ROWS = 64
"""Rows and columns of pixels that are rendered at most, evenly spaced: a fraction of a second, even on a CPU."""


@torch.no_grad()
def current_error(pipeline: Any, image: int) -> Float[Tensor, "rows columns"]:
    """e(x) = mean over RGB of |f(x) - f_gt(x)| at evenly spaced pixels of a training image, rendered in eval mode.

    Args:
        pipeline: whose model and training images are meant; it is in the mode afterwards that it was in.
        image: index in the data set.
    """
    model, dataset, was_training = pipeline.model, pipeline.datamanager.train_dataset, pipeline.training
    colours = dataset.get_image_float32(image)
    rows, columns = (_spaced(length) for length in colours.shape[:2])
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    yx = torch.stack([row, column], -1).flatten(0, 1) + 0.5
    cameras = dataset.cameras.to(model.device)
    which = torch.full((len(yx), 1), image, device=model.device)
    rays = cameras.generate_rays(camera_indices=which, coords=yx.to(model.device)).reshape((len(yx), 1))
    pipeline.eval()
    try:
        outputs = model.get_outputs_for_camera_ray_bundle(rays)
    finally:
        pipeline.train(was_training)
    rendered = outputs["rgb" if "rgb" in outputs else "rgb_fine"].reshape(len(yx), 3)
    target = model.renderer_rgb.blend_background(colours[row, column].flatten(0, 1).to(model.device))
    return colour_error(rendered, target).view(len(rows), len(columns)).cpu()


def _spaced(length: int) -> Tensor:
    """At most MOST_ROWS pixels along one axis."""
    return torch.linspace(0, length - 1, min(length, MOST_ROWS)).round().long()
