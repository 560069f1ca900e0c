"""A data set of three small views, and a model of it, that a test can follow by hand."""

from typing import Any

import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

SIZES = ((6, 8), (10, 4), (3, 3))
"""Height and width of the views."""
FOCAL = 5.0


class Views:
    """Three views from the origin whose colours tell view, row and column. The first is RGBA, the second masked."""

    def __init__(self) -> None:
        heights, widths = torch.tensor(SIZES)[:, :1], torch.tensor(SIZES)[:, 1:]
        pose = torch.eye(4)[None, :3].repeat(3, 1, 1)
        self.cameras = Cameras(pose, FOCAL, FOCAL, widths / 2, heights / 2, widths, heights)

    def __len__(self) -> int:
        return len(SIZES)

    def __getitem__(self, view: int) -> dict[str, Tensor]:
        height, width = SIZES[view]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        colours = torch.stack([torch.full_like(rows, view), rows, columns], -1) / 10
        if view == 0:
            return {"image": torch.cat([colours, torch.full((height, width, 1), 0.5)], -1)}
        return {"image": colours, "mask": (columns[..., None] < 2)} if view == 1 else {"image": colours}

    def get_image_float32(self, view: int) -> Tensor:
        return self[view]["image"]


class Looks:
    """A model that sees the directions of its rays."""

    device = torch.device("cpu")

    def __init__(self, key: str = "rgb", metrics: dict[str, float] | None = None, factor: float = 1.0) -> None:
        self.key, self.metrics, self.factor = key, metrics, factor
        self.seen: list[tuple[int, int]] = []

    def get_outputs_for_camera_ray_bundle(self, rays: Any) -> dict[str, Tensor]:
        return {self.key: rays.directions.abs() * self.factor}

    def get_outputs_for_camera(self, camera: Cameras) -> dict[str, Tensor]:
        self.seen.append((int(camera.height), int(camera.width)))
        return self.get_outputs_for_camera_ray_bundle(camera.generate_rays(camera_indices=0))

    def get_image_metrics_and_images(self, outputs: dict, batch: dict) -> tuple[dict[str, float], dict]:
        assert outputs[self.key].shape[:2] == batch["image"].shape[:2]
        return {name: value * len(self.seen) for name, value in (self.metrics or {}).items()}, {}
