"""The circle that a fisheye lens exposes, in the pixels of rescaled cameras.

Parsers record its radius in full-resolution pixels and rescale their cameras afterwards, as data sets do for
`camera_res_scale_factor`. nerfstudio 1.1.5 leaves the radius as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from nerfstudio.cameras.cameras import Cameras

RADIUS = "fisheye_crop_radius"


@contextlib.contextmanager
def rescaled_with_cameras() -> Iterator[list[float]]:
    """While this lasts, whatever rescales cameras rescales the crop radius in their metadata.

    Yields:
        A list to which every factor other than 1 is added. Sizes are rounded by them.
    """
    factors: list[float] = []
    rescale = Cameras.rescale_output_resolution

    def rescale_with_radius(cameras: Cameras, scaling_factor: Any, *arguments: Any, **options: Any) -> None:
        before = (cameras.metadata or {}).get(RADIUS)
        rescale(cameras, scaling_factor, *arguments, **options)
        factor = float(torch.as_tensor(scaling_factor).min())
        if factor != 1:
            factors.append(factor)
        metadata = cameras.metadata or {}
        if before is not None and metadata.get(RADIUS) is before:  # a later nerfstudio may do it itself
            cameras.metadata = {**metadata, RADIUS: before * factor}

    with mock.patch.object(Cameras, "rescale_output_resolution", rescale_with_radius):
        yield factors
