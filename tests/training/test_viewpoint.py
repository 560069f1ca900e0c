"""Where the viewer opens."""

import math

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor
from torch.nn.functional import normalize

from softmining_nerfstudio.training.viewpoint import FORWARD, LEAST_DISTANCE, before_the_scene


def looking(positions: Tensor, at: Tensor, up: Tensor) -> Cameras:
    """Cameras of 32 x 24 px that look from somewhere at a point."""
    back = normalize(positions - at, dim=-1)
    right = normalize(torch.linalg.cross(up.expand_as(back), back), dim=-1)
    poses = torch.stack([right, torch.linalg.cross(back, right), back, positions], -1)
    return Cameras(poses, 40.0, 40.0, 16.0, 12.0, width=32, height=24)


Z = torch.tensor([0.0, 0.0, 1.0])


def test_an_object_is_seen_whole_from_outside_with_the_cameras_behind() -> None:
    angle, centre = torch.linspace(0, 6, 12), torch.tensor([0.2, -0.1, 0.3])
    positions = centre + 4 * torch.stack([angle.cos(), angle.sin(), 0.4 + 0.2 * angle.sin()], -1)
    view = before_the_scene(looking(positions, centre, Z))
    nearest = (positions - centre).norm(dim=-1).min()
    assert 0.5 * nearest < (view.position - centre).norm() < nearest
    torch.testing.assert_close(view.look_at, centre, atol=0.02, rtol=0)
    assert torch.equal(view.up, Z)
    assert math.tan(view.fov / 2) == pytest.approx(0.3 / (1 - FORWARD))  # as much of the scene as a camera sees


def test_a_forward_facing_capture_is_seen_as_by_its_central_camera() -> None:
    positions = torch.cartesian_prod(torch.tensor([-1.0, 0, 1]), torch.tensor([-1.0, 0, 1]), torch.zeros(1))
    up = torch.tensor([0.0, 1.0, 0.0])
    cameras = looking(positions, positions + torch.tensor([0.0, 0.0, -1.0]), up)  # parallel
    view = before_the_scene(cameras)
    torch.testing.assert_close(view.position, torch.tensor([0.0, 0.0, -FORWARD * LEAST_DISTANCE]))
    torch.testing.assert_close(view.look_at, torch.tensor([0.0, 0.0, -LEAST_DISTANCE]))
    torch.testing.assert_close(view.up, up)


def test_one_camera_is_enough() -> None:
    view = before_the_scene(looking(torch.tensor([[3.0, 0, 0]]), torch.zeros(3), Z))
    assert torch.isfinite(torch.cat([view.position, view.look_at, view.up])).all()
    assert 0 < view.position[0] < 3
