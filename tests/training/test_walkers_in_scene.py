"""Walkers on the images of the viewer's scene."""

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras

from softmining_nerfstudio.training.walkers_in_scene import on_frustum


def test_walkers_lie_on_the_image_plane_as_viser_draws_it() -> None:
    camera = Cameras(torch.eye(4)[None, :3], 40.0, 40.0, 16.0, 12.0, width=32, height=24)[0]
    corners = on_frustum(torch.tensor([[0.0, 0.0], [24.0, 32.0], [12.0, 16.0]]), camera, 0.1)
    y = 16 / 40
    x = y * 16 / 12
    plane = 0.1 / np.cbrt(x * y / 3)
    expected = torch.tensor([[-x, -y, 1], [x, y, 1], [0, 0, 1]]) * plane
    torch.testing.assert_close(corners, expected.float())
