"""Training images for a person to look at: never a whole one as floats."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from softmining_nerfstudio.images.pixels import Colours
from softmining_nerfstudio.images.reading import small
from softmining_nerfstudio.training.capture import foreign
from softmining_nerfstudio.training.dataset import SoftMiningDataset

THUMBNAIL = 400
"""Longer side of an image beside its camera, pixels. The viewer makes it smaller yet."""
PICTURE = 1600
"""Longer side of a picture of the walkers at most, pixels."""


def colours_at(
    dataset: InputDataset, image: int, row: Int[Tensor, " rows"], column: Int[Tensor, " columns"]
) -> Float[Tensor, "rows columns channels"]:
    """Some rows and columns of an image of a data set."""
    if not isinstance(dataset, SoftMiningDataset) or foreign(dataset) is not None:
        return dataset.get_image_float32(image)[row][:, column]
    stored = torch.from_numpy(dataset.get_numpy_image(image))[row][:, column]
    return Colours(dataset._dataparser_outputs.alpha_color)(stored)


def stride_of(dataset: InputDataset, image: int) -> int:
    """Rows, and columns, from one pixel of a picture to the next."""
    return -(-max(int(dataset.cameras.height[image]), int(dataset.cameras.width[image])) // PICTURE)


class Thumbnails:
    """A data set whose images are read at the size at which the viewer shows them; all else is the data set's."""

    def __init__(self, dataset: InputDataset) -> None:
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, image: int) -> dict[str, Any]:
        dataset = self._dataset
        if not isinstance(dataset, SoftMiningDataset) or foreign(dataset) is not None:
            return dataset[image]
        with dataset.naming_files(image):
            stored = torch.from_numpy(small(dataset.image_filenames[image], THUMBNAIL))
        return {"image_idx": image, "image": Colours(dataset._dataparser_outputs.alpha_color)(stored)}
