"""Where the viewer opens: before the scene, looking at it as the training cameras do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from torch import Tensor
from torch.nn.functional import normalize
from viser import ClientHandle

FORWARD = 0.15
"""Part of the way to the scene that the viewer is ahead of a camera: past the image that is drawn there."""
LEAST_DISTANCE = 0.5
"""Of the scene from a camera, where the optical axes do not tell."""


@dataclass(frozen=True)
class Viewpoint:
    """A view of the scene, in the data set's units."""

    position: Float[Tensor, 3]
    look_at: Float[Tensor, 3]
    up: Float[Tensor, 3]
    fov: float
    """Vertical, radians."""

    def show(self, client: ClientHandle) -> None:
        """Move a browser's camera there."""
        with client.atomic():
            client.camera.up_direction = self.up.numpy().astype(float)
            client.camera.position = self.position.numpy().astype(float) * VISER_NERFSTUDIO_SCALE_RATIO
            client.camera.look_at = self.look_at.numpy().astype(float) * VISER_NERFSTUDIO_SCALE_RATIO
            client.camera.fov = self.fov


def before_the_scene(cameras: Cameras) -> Viewpoint:
    """The most central camera's view, from a little nearer."""
    poses = cameras.camera_to_worlds.detach().cpu().float()
    positions, ahead = poses[:, :, 3], -poses[:, :, 2]
    central = int((positions - positions.mean(0)).norm(dim=-1).argmin())
    position, direction = positions[central], ahead[central]
    distance = float(((_looked_at(positions, ahead) - position) @ direction).clamp(min=LEAST_DISTANCE))
    up, z = normalize(poses[:, :, 1].mean(0), dim=0), torch.tensor([0.0, 0.0, 1.0])
    if up @ z > 0.7 and (direction @ z).abs() < 0.95:  # as nerfstudio turns most scenes
        up = z
    tangent = float(cameras.height[central] / cameras.fy[central] / 2)
    fov = 2 * torch.tensor(tangent / (1 - FORWARD)).atan()
    return Viewpoint(position + FORWARD * distance * direction, position + distance * direction, up, float(fov))


def _looked_at(positions: Float[Tensor, "n 3"], ahead: Float[Tensor, "n 3"]) -> Float[Tensor, 3]:
    """The point closest to all optical axes; near the cameras where these are parallel."""
    across = torch.eye(3) - ahead[:, :, None] * ahead[:, None, :]
    matrix, anchor = across.mean(0) + 1e-3 * torch.eye(3), positions.mean(0)
    return torch.linalg.solve(matrix, (across @ positions[:, :, None]).mean(0)[:, 0] + 1e-3 * anchor)
