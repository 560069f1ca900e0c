"""The line that says which pixels a training sees, and how to have fewer."""

from __future__ import annotations

import os

from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset

from softmining_nerfstudio.training.parsing import name_of

LARGE = 1600
"""Longer side from which on a smaller one is suggested, pixels."""


def line(dataset: InputDataset, parser: DataParserConfig) -> str:
    """The number of training images, their size and folder; from 1600 pixels on, the options that make them smaller."""
    cameras = dataset.cameras
    sizes = sorted(zip(cameras.width.flatten().tolist(), cameras.height.flatten().tolist(), strict=True))
    if not sizes:
        return "There are no training images."
    size = " to ".join(f"{width} x {height}" for width, height in sorted({sizes[0], sizes[-1]}))
    folder = os.path.commonpath([name.parent.absolute() for name in dataset.image_filenames])
    scaled = "" if dataset.scale_factor == 1 else f", scaled by {dataset.scale_factor:g}"
    said = f"{len(dataset)} training images of {size} pixels from {folder}{scaled}."
    if max(map(max, sizes)) < LARGE:
        return said
    ways = ["--pipeline.datamanager.camera-res-scale-factor 0.5"]
    if hasattr(parser, "downscale_factor"):
        ways.append(f"{name_of(parser)} --downscale-factor 2")
    return f"{said} Fewer pixels train faster: {' or '.join(ways)}."
