"""nerfstudio's ray generator without its table of pixel centres, which takes 8 bytes for every pixel of an image."""

from __future__ import annotations

from jaxtyping import Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.ray_generators import RayGenerator
from torch import Tensor, nn


class PixelRays(RayGenerator):
    """Rays through the centres of pixels."""

    def __init__(self, cameras: Cameras) -> None:
        nn.Module.__init__(self)
        self.cameras = cameras

    def forward(self, ray_indices: Int[Tensor, "num_rays 3"]) -> RayBundle:
        """Rays through pixels (camera, row, column)."""
        return self.cameras.generate_rays(camera_indices=ray_indices[:, :1], coords=ray_indices[:, 1:] + 0.5)
