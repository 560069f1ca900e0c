"""Captures in the LLFF layout: `poses_bounds.npy` beside `images/` or `images_N/`.

One row of the file is one image, in sorted order of file names: a 3x5 matrix, then the closest and the farthest depth.
The matrix is [R | t | h], camera to world with the axes of R pointing down, right and backwards in the image, and h
the height, width and focal length of the full-resolution image in pixels. Depths are along the optical axis, in the
units of t; the principal point is the centre of the image. nerfstudio's axes are right, up and backwards.

The new frame is x' = scale * (R0 x + t0). Forward-facing: the average camera becomes the identity and the closest
depth 4/3, so that nerfstudio's scene contraction, linear in 1/depth beyond 1, spends its grid as NDC does. All around
("360"): the point closest to all optical axes is the origin, z is up and the farthest camera is at distance 1.

Source: Mildenhall et al., "Local Light Field Fusion", ACM Transactions on Graphics 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_utils import auto_orient_and_center_poses
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from torch import Tensor
from torch.nn.functional import normalize

from softmining_nerfstudio.dataparsers.llff_layout import POSES_FILE, Views, image_files, image_folder, read_views

CLOSEST_DEPTH = 4 / 3
FORWARD_FACING_ANGLE = 45.0
BOX_DEPTH_RATIO = 10.0


@dataclass
class LLFFDataParserConfig(DataParserConfig):
    """LLFF dataset config"""

    _target: type = field(default_factory=lambda: LLFF)
    """target class to instantiate"""
    data: Path = Path()
    """Directory that holds poses_bounds.npy and images/ or images_N/."""
    downscale_factor: int | None = None
    """Train on images_N, N times smaller than images/. A missing folder is made from images/. Default: the smallest
    power of two that keeps the longer side within 1600 pixels; without images/, the closest folder."""
    eval_interval: int = 8
    """Evaluate on every n-th image in sorted order, the first included; train on the others."""
    capture: Literal["auto", "forward-facing", "360"] = "auto"
    """forward-facing: all cameras look in about one direction. 360: they look at the scene from all around. auto:
    forward-facing if every camera looks within 45 degrees of the average direction."""
    scale_factor: float = 1.0
    """Factor on the normalised scene. Larger moves it outwards in the contracted space: finer across the image, coarser
    in depth."""
    depth_margin: float = 0.1
    """Widens the recorded depth range at both ends by this fraction of each bound. The bounds come from a sparse
    reconstruction, which misses the extremes."""


class LLFF(DataParser):
    """LLFF DatasetParser.

    `metadata` tells models `near` and `far`, the depths along the optical axis in the new frame with the margin
    included, and `capture`, which is "forward-facing" or "360".
    """

    config: LLFFDataParserConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs) -> DataparserOutputs:
        """Read the capture and keep the images of one split.

        Raises:
            FileNotFoundError: a folder or file is missing.
            ValueError: the config, `poses_bounds.npy` or an image is invalid.
        """
        config = self.config
        _check_config(config, split)
        views = read_views(config.data / POSES_FILE)
        folder = image_folder(config.data, config.downscale_factor, views)
        files, (width, height) = image_files(folder, views)

        capture = _capture(views, config.capture)
        transform, scale = _forward_facing(views) if capture == "forward-facing" else _all_around(views)
        scale *= config.scale_factor
        poses = transform[:, :3] @ views.poses
        poses[:, :, 3] = (poses[:, :, 3] + transform[:, 3]) * scale
        focal = views.focal[:, None] / views.size
        depths = views.bounds * scale * views.bounds.new_tensor([1 - config.depth_margin, 1 + config.depth_margin])
        box = torch.tensor([[-1.0] * 3, [1.0] * 3]) * config.scale_factor
        if capture == "forward-facing":
            box = _seen_box(poses, focal, depths)

        keep = [i for i in range(len(files)) if (i % config.eval_interval == 0) == (split != "train")]
        cameras = Cameras(
            camera_to_worlds=poses[keep].float(),
            fx=(focal[keep, :1] * width).float(),
            fy=(focal[keep, 1:] * height).float(),
            cx=width / 2,
            cy=height / 2,
            width=width,
            height=height,
            camera_type=CameraType.PERSPECTIVE,
        )
        return DataparserOutputs(
            image_filenames=[files[i] for i in keep],
            cameras=cameras,
            scene_box=SceneBox(aabb=box.float()),
            dataparser_transform=transform.float(),
            dataparser_scale=scale,
            metadata={"near": depths[:, 0].min().item(), "far": depths[:, 1].max().item(), "capture": capture},
        )


def _check_config(config: LLFFDataParserConfig, split: str) -> None:
    if not config.data.is_dir():
        raise FileNotFoundError(f"{config.data}: no such folder. Expected one with {POSES_FILE} and images/ in it.")
    if config.downscale_factor is not None and config.downscale_factor < 1:
        raise ValueError(f"downscale_factor is {config.downscale_factor}, expected a whole number from 1 up.")
    if config.eval_interval < 2:
        raise ValueError(f"eval_interval is {config.eval_interval}, expected 2 or more: others are for training.")
    if not (0 < config.scale_factor < math.inf and 0 <= config.depth_margin < 1):
        raise ValueError(
            f"scale_factor is {config.scale_factor} and depth_margin {config.depth_margin}, "
            "expected scale_factor > 0 and 0 <= depth_margin < 1."
        )
    if split not in ("train", "val", "test"):
        raise ValueError(f"split is {split!r}, expected 'train', 'val' or 'test'.")


def _capture(views: Views, requested: str) -> str:
    """Decide between "forward-facing" and "360".

    Raises:
        ValueError: forward-facing is requested, but a camera looks away from the average direction.
    """
    back = views.poses[:, :, 2]
    cosine = (back @ normalize(back.mean(dim=0), dim=0)).min().item()
    if requested == "forward-facing" and cosine <= 0:
        raise ValueError("capture is 'forward-facing', but some cameras look the other way; expected --capture 360.")
    if requested != "auto":
        return requested
    return "forward-facing" if cosine > math.cos(math.radians(FORWARD_FACING_ANGLE)) else "360"


def _forward_facing(views: Views) -> tuple[Float[Tensor, "3 4"], float]:
    """Transform that makes the average camera the identity, and scale that puts the closest depth at 4/3."""
    _, up, back, position = views.poses.mean(dim=0).unbind(dim=1)
    back = normalize(back, dim=0)
    right = torch.linalg.cross(up, back)
    if right.norm() < 1e-3:  # up axes that cancel out, as in a drone's flight forth and back
        right = torch.linalg.cross(views.poses[0, :, 1], back)
    right = normalize(right, dim=0)
    rotation = torch.stack([right, torch.linalg.cross(back, right), back])
    return torch.cat([rotation, -(rotation @ position)[:, None]], dim=1), CLOSEST_DEPTH / views.bounds.min().item()


def _all_around(views: Views) -> tuple[Float[Tensor, "3 4"], float]:
    """Transform with the point closest to all optical axes as origin and z up, and scale into the unit sphere.

    Raises:
        ValueError: all cameras are in one place, which leaves the scale open.
    """
    centre = views.poses[:, :, 3].mean(dim=0)
    # nerfstudio's helper is single precision, so a world far from its origin must move closer first.
    centred = torch.cat([views.poses[:, :, :3], views.poses[:, :, 3:] - centre[:, None]], dim=2)
    homogeneous = torch.cat([centred, torch.tensor([[[0.0, 0, 0, 1]]]).expand(len(centred), 1, 4)], dim=1).float()
    up = "vertical" if len(centred) > 2 else "up"
    oriented, transform = auto_orient_and_center_poses(homogeneous, method=up, center_method="focus")
    transform = transform.double()
    transform[:, 3] -= transform[:, :3] @ centre
    radius = oriented[:, :3, 3].norm(dim=1).max().item()
    if radius < 1e-6 * views.bounds.min().item():
        raise ValueError("All cameras are in one place, expected a capture from several.")
    return transform, 1 / radius


def _seen_box(
    poses: Float[Tensor, "n 3 4"], focal: Float[Tensor, "n 2"], depths: Float[Tensor, "n 2"]
) -> Float[Tensor, "2 3"]:
    """Box around the cameras' views between their depths; `focal` is a fraction of the width and of the height.

    It ends at ten times the closest depth: a grid that reaches the horizon has no cells for nearby things.
    """
    depths = depths.clamp(max=BOX_DEPTH_RATIO * depths.min().item())
    signs = torch.tensor([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])
    corners = torch.cat([signs / focal[:, None, :], -torch.ones(len(poses), 4, 1)], dim=2)
    corners = (corners[:, :, None, :] * depths[:, None, :, None]).flatten(1, 2)
    points = corners @ poses[:, :, :3].mT + poses[:, None, :, 3]
    return torch.stack([points.flatten(0, 1).amin(dim=0), points.flatten(0, 1).amax(dim=0)])


llff_data = DataParserSpecification(
    config=LLFFDataParserConfig(), description="LLFF layout: poses_bounds.npy beside images/ or images_N/"
)
