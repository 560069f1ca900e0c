"""What the files of an object before a plain background say of it: how far its cameras are, and what is behind it.

The settings for objects (`scene_kinds.py`) are those of NeRF Synthetic, whose cameras are 4 from the origin: rays begin
at 2 and end at 6, and the scene ends at 1.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.dataparsers.dnerf_dataparser import DNeRFDataParserConfig
from nerfstudio.utils.colors import get_color
from nerfstudio.utils.io import load_from_json
from PIL import Image

from softmining_nerfstudio.training.cameras import LARGEST_SCALE

ObjectParserConfig = BlenderDataParserConfig | DNeRFDataParserConfig
"""Parsers of objects, the demo scene's among them as it derives from the first."""

SCALE = "datamanager.dataparser.scale_factor"
"""Path of the factor by which a parser scales the scene."""
DISTANCE = 4.0
"""Of NeRF Synthetic's cameras from the origin."""
ABOUT_THERE = (3.5, 4.5)
"""Distances for which those settings fit as they are."""
PLAIN = {"white": (250, 255), "black": (0, 5)}
"""Backgrounds that a model can be told, and their range in 8 bits; compressed images are not exact."""
OTHER = "last_sample"
"""What a model is told of any other background, if it can be."""


def settings_of(parser: ObjectParserConfig, folder: Path) -> dict[str, Any]:
    """The settings that depend on the files, by their path below the pipeline's configuration.

    Raises:
        Exception: the files cannot be read.
    """
    meta = load_from_json(folder / "transforms_train.json")
    first = folder / f"{meta['frames'][0]['file_path']}.png"
    settings: dict[str, Any] = {"model.background_color": background_of(first, parser.alpha_color)}
    if parser.scale_factor == 1 and (scale := scale_of(meta)) != 1:
        settings[SCALE] = scale
    return settings


def scale_of(meta: dict[str, Any]) -> float:
    """The factor that puts the cameras where NeRF Synthetic has them; 1 where they are about there."""
    poses = np.array([frame["transform_matrix"] for frame in meta["frames"]], dtype=float)
    distance = float(np.median(np.linalg.norm(poses[:, :3, 3], axis=-1)))
    if not 0 < distance < np.inf or ABOUT_THERE[0] <= distance <= ABOUT_THERE[1]:
        return 1.0
    return float(f"{min(max(DISTANCE / distance, 1 / LARGEST_SCALE), LARGEST_SCALE):.4g}")


def background_of(image: Path, alpha_color: str | None) -> str:
    """The background as a model is told it: what transparent pixels of an image show, or most of its border.

    Args:
        alpha_color: what the parser lays transparent images over; None where the model does, over white.
    """
    with Image.open(image) as opened:
        rgba = np.asarray(opened.convert("RGBA"), dtype=float)
    alpha, behind = rgba[..., 3:] / 255, 255 * get_color(alpha_color or "white").numpy()
    over = rgba[..., :3] * alpha + behind * (1 - alpha)
    border = np.concatenate([over[0], over[-1], over[:, 0], over[:, -1]])
    shown = behind if (alpha == 0).any() else np.median(border, axis=0)
    for name, (low, high) in PLAIN.items():
        if (shown >= low).all() and (shown <= high).all():
            return name
    return OTHER
