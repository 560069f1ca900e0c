"""A training image's error as the model is now, for the viewer. The last rays saw that of some pixels, as it was."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from softmining_nerfstudio.mining.cells import GRID
from softmining_nerfstudio.mining.importance import colour_error
from softmining_nerfstudio.trace import over_white


@torch.no_grad()
def current_error(pipeline: Any, image: int) -> Float[Tensor, "grid grid"]:
    """e(x) = mean over RGB of |f(x) - f_gt(x)| in the middle of each cell of a training image, rendered in eval mode.

    As many rays as a small batch has, so that it is done before one notices, on a CPU, too.

    Args:
        pipeline: whose model and training images are meant; it is in the mode afterwards that it was in.
        image: index in the data set.
    """
    model, dataset, was_training = pipeline.model, pipeline.datamanager.train_dataset, pipeline.training
    colours = dataset.get_image_float32(image)
    row, column = (((torch.arange(GRID) + 0.5) * length / GRID).long() for length in colours.shape[:2])
    yx = torch.cartesian_prod(row, column).view(GRID, GRID, 2) + 0.5
    pipeline.eval()
    try:
        rays = dataset.cameras[image : image + 1].to(model.device).generate_rays(0, coords=yx.to(model.device))
        outputs = model.get_outputs_for_camera_ray_bundle(rays)
    finally:
        pipeline.train(was_training)
    rendered = outputs["rgb" if "rgb" in outputs else "rgb_fine"].cpu()
    pixels = colours[row][:, column]
    if hasattr(model, "renderer_rgb"):
        return colour_error(rendered, model.renderer_rgb.blend_background(pixels).cpu())
    return colour_error(rendered, over_white(pixels))
