"""The line that says which pixels a training sees, and how to have fewer."""

from __future__ import annotations

import os

from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig

from softmining_nerfstudio.training.dataset import SoftMiningDataset
from softmining_nerfstudio.training.parsing import name_of

LARGE = 1600
"""Longer side from which on a smaller one is suggested, pixels."""


def line(dataset: SoftMiningDataset, parser: DataParserConfig) -> str:
    """The number of training images, their size and folder; from 1600 pixels on, the options that make them smaller."""
    sizes = sorted(set(dataset.camera_sizes()))
    if not sizes:
        return "There are no training images."
    size = " to ".join(f"{width} x {height}" for width, height in sizes[:: max(1, len(sizes) - 1)])
    folder = os.path.commonpath([name.parent.absolute() for name in dataset.image_filenames])
    scaled = "" if dataset.scale_factor == 1 else f", scaled by {dataset.scale_factor:g}"
    said = f"Training on {len(dataset)} images of {size} pixels from {folder}{scaled}."
    if max(map(max, sizes)) < LARGE:
        return said
    ways = ["--pipeline.datamanager.camera-res-scale-factor 0.5"]
    if hasattr(parser, "downscale_factor"):
        ways.append(f"{name_of(parser)} --downscale-factor 2")
    return f"{said} Fewer pixels train faster: {' or '.join(ways)}."
