"""nerfstudio's parser of instant-ngp's transforms.json, with the vertical focal length of the file: nerfstudio 1.1.5
takes the horizontal one in its place, unless the file has both `camera_angle_y` and `y_fov`."""

from __future__ import annotations

import math
from typing import Any

from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.instant_ngp_dataparser import InstantNGP as NerfstudioInstantNGP
from nerfstudio.utils.io import load_from_json


class InstantNGP(NerfstudioInstantNGP):
    """Reads what instant-ngp alone writes."""

    def _generate_dataparser_outputs(self, split: str = "train", **options: Any) -> DataparserOutputs:
        outputs = super()._generate_dataparser_outputs(split, **options)
        data, cameras = self.config.data, outputs.cameras
        meta = load_from_json(data if data.suffix == ".json" else data / "transforms.json")
        if outputs.image_filenames and (focal := vertical_focal_length(meta, int(cameras.height[0]))) is not None:
            cameras.fy = cameras.fy.new_full(cameras.fy.shape, focal)
        return outputs


def vertical_focal_length(meta: dict[str, Any], height: int) -> float | None:
    """In pixels; None where the file has none.

    Args:
        height: of the images, pixels.
    """
    if "fl_y" in meta:
        return float(meta["fl_y"])
    if "y_fov" in meta:
        return 0.5 * height / math.tan(0.5 * math.radians(meta["y_fov"]))
    if "camera_angle_y" in meta:
        return 0.5 * height / math.tan(0.5 * meta["camera_angle_y"])
    return None
