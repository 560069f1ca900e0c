"""Training images for a person to look at: never a whole one as floats."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from softmining_nerfstudio.images.pixels import Colours
from softmining_nerfstudio.images.reading import small
from softmining_nerfstudio.sampling.history import heat_map, over_white, with_walkers
from softmining_nerfstudio.sampling.pixel_sampler import SoftMiningPixelSampler
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


def pictures(
    dataset: InputDataset, sampler: SoftMiningPixelSampler, image: int
) -> dict[str, Float[Tensor, "height width 3"]]:
    """Where the last rays of an image went, and its walkers; empty before anything was mined. Large images are shown
    smaller."""
    if not sampler.history:
        return {}
    stride = -(-int(max(dataset.cameras.height[image], dataset.cameras.width[image])) // PICTURE)
    row, column = (
        torch.arange(0, int(size[image]), stride) for size in (dataset.cameras.height, dataset.cameras.width)
    )
    picture = over_white(colours_at(dataset, image, row, column))
    found = {"rays": heat_map(sampler.history.of_image(image), *picture.shape[:2])}
    if (walkers := sampler.walkers) is not None:
        found["walkers"] = with_walkers(picture, walkers.yx[image] / stride, walkers.error[image])
    return found


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
