"""A model's colours, what to compare them with, and the present error on pixels of a training image."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softmining_nerfstudio.mining.importance import colour_error
from softmining_nerfstudio.sampling.history import over_white
from softmining_nerfstudio.training.looking import colours_at


def rgb_of(outputs: dict[str, Any]) -> Float[Tensor, "*rays 3"]:
    """The colours that a model rendered: the fine field's, where there is a coarse one, too."""
    return outputs[_rgb_name(outputs)]


def rgb_name_of(pipeline: Any) -> str:
    """What a model calls its colours. Renders one pixel twice: nerfstudio's camera optimizer fails on a single ray."""
    return _rgb_name(_rendered(pipeline, 0, torch.tensor([0]), torch.tensor([0, 0])))


def _rgb_name(outputs: dict[str, Any]) -> str:
    return "rgb" if "rgb" in outputs else "rgb_fine"


def blended(model: Any, pixels: Float[Tensor, "*pixels channels"]) -> Float[Tensor, "*pixels 3"]:
    """RGB or RGBA colours over the model's background, as its metrics have them; over white if it has none."""
    if not hasattr(model, "renderer_rgb"):
        return over_white(pixels)
    return model.renderer_rgb.blend_background(pixels.to(model.device)).cpu()


@torch.no_grad()
def current_error(
    pipeline: Any, image: int, row: Int[Tensor, " rows"], column: Int[Tensor, " columns"]
) -> Float[Tensor, "rows columns"]:
    """e(x) = mean over RGB of |f(x) - f_gt(x)| of these pixels of a training image, rendered in eval mode.

    The rays are those of training: they use the camera pose that training has refined, which nerfstudio leaves out in
    eval mode. The appearance is the average one, as in any rendering, so an image's exposure counts as an error.

    Args:
        pipeline: has the model and the training images. It keeps its mode.
        image: index in the data set.
    """
    model, dataset = pipeline.model, pipeline.datamanager.train_dataset
    rendered = rgb_of(_rendered(pipeline, image, row, column))
    return colour_error(rendered.cpu(), blended(model, colours_at(dataset, image, row, column)))


@torch.no_grad()
def _rendered(pipeline: Any, image: int, row: Int[Tensor, " rows"], column: Int[Tensor, " columns"]) -> dict[str, Any]:
    """A model's outputs in eval mode for pixels of a training image. The pipeline keeps its mode."""
    model, cameras, was_training = pipeline.model, pipeline.datamanager.train_dataset.cameras, pipeline.training
    yx = torch.cartesian_prod(row, column) + 0.5
    rays = cameras[image : image + 1].to(model.device).generate_rays(0, coords=yx.to(model.device))
    if hasattr(model, "camera_optimizer"):
        rays.camera_indices = torch.full_like(rays.camera_indices, image)
        model.camera_optimizer.apply_to_raybundle(rays)
    pipeline.eval()
    try:
        return model.get_outputs_for_camera_ray_bundle(rays.reshape((len(row), len(column))))
    finally:
        pipeline.train(was_training)
