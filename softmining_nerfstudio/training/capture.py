"""A nerfstudio data set as a `Capture`: what is to be kept for each of its pixels, and how that is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.data_utils import get_image_mask_tensor_from_path
from torch import Tensor

from softmining_nerfstudio.images.capture import Capture, Layer, Rows
from softmining_nerfstudio.images.pixels import Colours
from softmining_nerfstudio.images.reading import rows_of_file
from softmining_nerfstudio.training.dataset import SoftMiningDataset

READ_HERE = ("__getitem__", "get_data", "get_image_float32", "get_numpy_image")
"""What this module does in place of nerfstudio's data set."""


def foreign(dataset: InputDataset) -> str | None:
    """What makes the pixels of a data set others than those in its files; None if they are the same."""
    for method in READ_HERE:
        owner = owner_of(dataset, method)
        if owner is not InputDataset:
            return f"{owner.__name__}.{method}"
    metadata = owner_of(dataset, "get_metadata")
    if not metadata.__module__.startswith("nerfstudio."):  # nerfstudio's own read no colours, and name their files
        return f"{metadata.__name__}.get_metadata"
    return "mask_color" if dataset.mask_color else None


def owner_of(dataset: InputDataset, method: str) -> type:
    """The class that says how a data set does something, other than the one that adds the names of files to errors."""
    return next(kind for kind in type(dataset).__mro__ if method in vars(kind) and kind is not SoftMiningDataset)


def capture_of(dataset: SoftMiningDataset) -> Capture:
    """What is to be kept of a data set whose files have been checked.

    Raises:
        UserError: if further values of its first image cannot be read.
    """
    sizes = torch.cat([dataset.cameras.height, dataset.cameras.width], dim=1).cpu().long()
    colours = Colours(dataset._dataparser_outputs.alpha_color)
    layers = {"image": Layer(torch.uint8, (dataset.channels,), colours)}
    if len(dataset):
        with dataset.naming_files(0):
            more = _more(dataset, 0)
        for name, values in more.items():
            layers[name] = Layer(values.dtype, tuple(values.shape[2:]))
    return Capture(
        sizes=sizes,
        layers=layers,
        files=list(dataset.files()),
        read=partial(_read, dataset, layers),
        settings=_settings(dataset, layers),
    )


def _settings(dataset: SoftMiningDataset, layers: Collection[str]) -> str:
    """What the values depend on besides the files. Depths are in the units of the scene."""
    settings = f"{dataset.scale_factor} {type(dataset).__name__}"
    if {*layers} <= {"image", "mask"}:
        return settings
    numbers = {name: value for name, value in dataset.metadata.items() if isinstance(value, (int, float, str))}
    return f"{settings} {dataset._dataparser_outputs.dataparser_scale} {sorted(numbers.items())}"


def _read(dataset: SoftMiningDataset, layers: Mapping[str, Layer], image: int) -> dict[str, Rows]:
    """The rows of each layer of an image.

    Raises:
        UserError: if a file cannot be read.
    """
    width, height = int(dataset.cameras.width[image]), int(dataset.cameras.height[image])
    with dataset.naming_files(image):
        path = dataset.image_filenames[image]
        rows = {"image": rows_of_file(path, (width, height), dataset.scale_factor, layers["image"].channels[0])}
        for name, values in _more(dataset, image).items():
            layer = layers.get(name)
            if layer is None or (values.dtype, tuple(values.shape[2:])) != (layer.dtype, layer.channels):
                raise ValueError(f"its {name} is of another kind than that of the first image")
            rows[name] = _rows(values)
        if missing := layers.keys() - rows.keys():
            raise ValueError(f"it has no {', '.join(sorted(missing))}, and the first image has")
    return rows


def _rows(values: Tensor) -> Rows:
    array: np.ndarray = values.detach().cpu().numpy()
    return lambda first, last: array[first:last]


def _more(dataset: SoftMiningDataset, image: int) -> dict[str, Tensor]:
    """What else a data set has for each pixel of an image.

    Raises:
        ValueError: if its mask or depth has another size.
    """
    data: dict[str, Any] = {"image_idx": image}
    if (masks := dataset._dataparser_outputs.mask_filenames) is not None:
        data["mask"] = get_image_mask_tensor_from_path(masks[image], dataset.scale_factor)
    data.update(dataset.get_metadata(data))
    size = (int(dataset.cameras.height[image]), int(dataset.cameras.width[image]))
    for name in {"mask", "depth_image"} & data.keys():
        if (shape := data[name].shape)[:2] != size:
            raise ValueError(f"its {name} has {shape[1]} x {shape[0]} pixels, not {size[1]} x {size[0]}")
    return {k: v for k, v in data.items() if isinstance(v, Tensor) and v.ndim >= 2 and v.shape[:2] == size}
