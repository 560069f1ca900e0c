"""Where walkers are in the viewer's scene: on the training images that it draws at the cameras."""

from __future__ import annotations

import numpy as np
import torch
import viser.transforms as vtf
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.viewer.viewer import Viewer
from torch import Tensor

from softmining_nerfstudio.mining.walkers import Walkers
from softmining_nerfstudio.sampling.history import error_colours


def on_images(
    walkers: Walkers | None, cameras: Cameras, viewer: Viewer
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Positions in the viewer's world and colours in [0, 1] of the living walkers on the images that are drawn there.

    Args:
        walkers: of the training images; None where the strategy has none.
        cameras: of the training images.
    """
    if walkers is None:
        return np.zeros((0, 3)), np.zeros((0, 3))
    points, errors = [np.zeros((0, 3))], [torch.zeros(0)]
    for image, handle in getattr(viewer, "camera_handles", {}).items():
        yx, error = walkers.yx[image], walkers.error[image]
        alive = yx.isfinite().all(-1)
        local = on_frustum(yx[alive], cameras[image], viewer.config.camera_frustum_scale).numpy().astype(float)
        points.append(local @ vtf.SO3(handle.wxyz).as_matrix().T + handle.position)
        errors.append(error[alive])
    return np.concatenate(points).astype(np.float32), error_colours(torch.cat(errors)).numpy()


def on_frustum(yx: Float[Tensor, "n 2"], camera: Cameras, scale: float) -> Float[Tensor, "n 3"]:
    """Pixels on the image plane of a camera frustum as viser draws it, in its own frame: right, down, ahead.

    viser scales a frustum so that its volume does not depend on its angles: the plane with half sides x, y at depth 1
    is divided by cbrt(x y / 3).
    """
    height, width = float(camera.height), float(camera.width)
    y = float(camera.cx / camera.fx)  # what nerfstudio hands over as the tangent of half the vertical angle
    x = y * float(camera.cx / camera.cy)
    factor = scale / (x * y / 3) ** (1 / 3)
    down, right = (yx / torch.tensor([height, width]) * 2 - 1).unbind(-1)
    return torch.stack([right * x, down * y, torch.ones_like(right)], -1) * factor
